"""A NATS server for each test module."""

from collections.abc import Iterator

import pytest

from support.nats_server import NatsServer, running


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running(tmp_path_factory.mktemp("nats")) as server:
        yield server
