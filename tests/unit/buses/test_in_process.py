"""The bus within one process: every other member hears, in a later turn of the event loop."""

from __future__ import annotations

import asyncio

from accredit.buses.in_process import InProcessBus
from accredit.domain.subjects import Subject


async def test_what_one_tells_all_others_hear() -> None:
    bus = InProcessBus()
    heard: list[tuple[str, str]] = []
    members = {name: bus.join() for name in "abc"}
    for name, member in members.items():
        member.hear(Subject.OPERATION, lambda word, name=name: heard.append((name, word)))
    members["a"].tell(Subject.OPERATION, "o1")
    members["a"].tell(Subject.RELEASES)
    assert heard == []
    await asyncio.sleep(0)
    assert heard == [("b", "o1"), ("c", "o1")]


async def test_who_is_alone_hears_nothing() -> None:
    heard: list[str] = []
    alone = InProcessBus().join()
    alone.hear(Subject.RELEASES, heard.append)
    alone.tell(Subject.RELEASES)
    await asyncio.sleep(0)
    assert heard == []
