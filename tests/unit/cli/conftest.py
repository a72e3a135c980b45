"""A real service that the commands speak to, and the commands in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from support.command import Ran, command
from support.running_service import RunningService

_numbers = count(1)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("cli")) as running:
        yield running
    assert "Traceback" not in running.log_text()


@pytest.fixture
def run(service: RunningService) -> Callable[..., Ran]:
    """Run a command against the service's data folder."""

    def against(*arguments: str, given: str = "") -> Ran:
        return command(*arguments, "--data-dir", str(service.data), given=given)

    return against


@pytest.fixture
def name() -> str:
    """An id that no other test has."""
    return f"thing-{next(_numbers)}"
