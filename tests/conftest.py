"""Options of the suite.

Long campaigns run only when asked for: `pytest tests/campaigns --campaign` (`make campaign`).

--campaign              run the tests marked `campaign` as well
--campaign-seed=N       another seed than the one in the test
--campaign-folder=DIR   keep the state there, and go on where the last run with this folder was broken off
--write-compatibility   write docs/compatibility.md from what passes (`scripts/compatibility`)

`--hypothesis-profile=covering` is for counting which lines run (`tests/house/test_coverage.py`): few examples, always the
same. What only a rare example reaches is not covered by anything that one could rely on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.postgres_server import PostgresServer, running

# A busy machine is slow, which is no defect of what is tried.
settings.register_profile(
    "patient",
    parent=settings(),
    max_examples=50,  # the fuzzers of `make campaign` try many more
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")
settings.register_profile("covering", max_examples=10, derandomize=True, deadline=None, database=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("campaigns")
    group.addoption("--campaign", action="store_true", help="run the long campaigns too")
    group.addoption("--campaign-seed", type=int, help="the seed of a campaign's chances")
    group.addoption("--campaign-folder", type=Path, help="where a campaign keeps its state, to be resumed")
    parser.addoption("--write-compatibility", action="store_true", help="write docs/compatibility.md")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--write-compatibility") and not hasattr(config, "workerinput"):
        from support import compatibility

        config.pluginmanager.register(compatibility.Witness(compatibility.PAGE))
    if not hasattr(config, "workerinput"):
        from support import tried

        config.pluginmanager.register(tried.Witness())
    config.addinivalue_line("markers", "campaign: takes minutes; runs with --campaign only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--campaign"):
        return
    long = [item for item in items if item.get_closest_marker("campaign")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started when a test first asks for it."""
    with running() as server:
        yield server
