import sqlite3
from collections.abc import Iterator

import pytest

from accredit.stores import schema


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """An empty database of the present schema; who writes to it rolls back."""
    path = tmp_path_factory.mktemp("database") / "accredit.db"
    schema.migrate(path)
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()
