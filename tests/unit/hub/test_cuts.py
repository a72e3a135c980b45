"""Sessions that another process ends: found in the store, with a bus or without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from accredit.buses.in_process import InProcessBus
from accredit.domain.changes import CutSession
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.secret import Secret
from accredit.hub.cuts import KEPT_S, UNKNOWN, Cuts
from accredit.hub.sessions import TAKEN_OVER, Sessions
from accredit.interfaces import StoreUnavailable
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore

LAMP, PUMP = DeviceId("lamp"), DeviceId("pump")


class Time:
    """The database's clock, which a test moves, and which may be out of reach."""

    def __init__(self) -> None:
        self.instant = 0.0
        self.unreachable = False

    async def look(self) -> None:
        if self.unreachable:
            raise StoreUnavailable("gone")

    def now(self) -> float:
        return self.instant


class Process:
    """One of several on a store."""

    def __init__(self, store: SqliteStore, bus: InProcessBus) -> None:
        member = bus.join()
        self.ended: list[tuple[str, str]] = []
        self.time = Time()
        self.sessions = Sessions(bus=member)
        self.cuts = Cuts(store, self.sessions, member, self.time)

    def connect(self, device_id: DeviceId = LAMP, hub: str = FIRST_HUB) -> None:
        self.sessions.open(device_id, lambda why: self.ended.append((device_id.text, why)), hub)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield opened
    await opened.close()


async def test_what_was_cut_elsewhere_ends_here_once(store):
    here = Process(store, InProcessBus())
    await here.cuts.look()
    here.connect(LAMP)
    here.connect(PUMP)
    await store.commit([CutSession(FIRST_HUB, LAMP, "revoked"), CutSession("other", PUMP, "moved")])
    await here.cuts.look()
    assert here.ended == [("lamp", "revoked")]
    here.connect(LAMP)
    await here.cuts.look()
    assert here.sessions.connected(LAMP)
    assert here.sessions.connected(PUMP)


async def test_the_bus_has_it_looked_for_at_once(store):
    bus = InProcessBus()
    here, there = Process(store, bus), Process(store, bus)
    here.cuts.start()
    there.connect()
    there.cuts.start()
    await asyncio.sleep(0)
    await store.commit([CutSession(FIRST_HUB, LAMP, "revoked")])
    assert not here.sessions.cut(LAMP, "revoked")
    while there.sessions.connected(LAMP):
        await asyncio.sleep(0)
    assert there.ended == [("lamp", "revoked")]
    await asyncio.gather(here.cuts.stop(), there.cuts.stop())


async def test_without_a_bus_it_is_found_by_looking(store):
    here = Process(store, InProcessBus())
    here.connect()
    here.cuts.start()
    await store.commit([CutSession(FIRST_HUB, LAMP, "revoked")])
    while here.sessions.connected(LAMP):
        await asyncio.sleep(0.01)
    await here.cuts.stop()


async def test_who_could_not_look_for_long_ends_all(store):
    here = Process(store, InProcessBus())
    await here.cuts.look()
    here.connect()
    here.time.unreachable = True
    with pytest.raises(StoreUnavailable):
        await here.cuts.look()
    here.time.unreachable = False
    here.time.instant += KEPT_S
    await here.cuts.look()
    assert here.ended == []
    here.time.instant += KEPT_S + 1
    await here.cuts.look()
    assert here.ended == [("lamp", UNKNOWN)]


async def test_it_goes_on_looking_when_the_store_is_back(store):
    here = Process(store, InProcessBus())
    here.time.unreachable = True
    here.connect()
    here.cuts.start()
    await asyncio.sleep(0.01)
    await store.commit([CutSession(FIRST_HUB, LAMP, "revoked")])
    here.time.unreachable = False
    while here.sessions.connected(LAMP):
        await asyncio.sleep(0.01)
    await here.cuts.stop()


async def test_a_device_that_connects_to_another_process_leaves_this_one(store):
    bus = InProcessBus()
    here, there = Process(store, bus), Process(store, bus)
    here.connect(LAMP)
    here.connect(LAMP, "other.example")
    here.connect(PUMP)
    await asyncio.sleep(0)
    there.connect(LAMP)
    await asyncio.sleep(0)
    assert here.ended == [("lamp", TAKEN_OVER)]
    assert here.sessions.connected(LAMP, "other.example")
    assert there.sessions.connected(LAMP)
