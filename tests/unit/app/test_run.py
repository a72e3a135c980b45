"""A service that runs until it is told to stop, in this process: what it leaves switched on."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from accredit.app.data_folder import CannotStart
from accredit.app.run import run, served


@pytest.fixture(autouse=True)
def _collecting_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*before)


def test_garbage_is_collected_from_the_moment_that_it_serves(configured) -> None:
    seen: list[tuple[bool, int]] = []

    def started(_, stop) -> None:
        seen.append((gc.isenabled(), gc.get_threshold()[0]))
        stop.set()

    served(configured(), started)
    assert seen == [(True, 20_000)]


def test_garbage_is_collected_where_it_could_not_start(configured, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "accredit.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(CannotStart, match="master key"):
        run(configured(), lambda *_: None)
    assert gc.isenabled()
