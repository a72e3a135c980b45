"""The real certificate authorities of the session: each is started when a test first asks for it."""

from collections.abc import Iterator

import pytest

from support.real_authorities import RealCAs, running


@pytest.fixture(scope="session")
def real_cas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCAs]:
    with running(tmp_path_factory.mktemp("cas")) as cas:
        yield cas
