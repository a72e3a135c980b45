"""Sessions that another process ends: found in the store, with a bus or without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from accredit.buses.in_process import InProcessBus
from accredit.domain.changes import CutSession
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.secret import Secret
from accredit.domain.session_cut import SessionCut
from accredit.hub.cuts import KEPT_S, UNKNOWN, Cuts
from accredit.hub.sessions import TAKEN_OVER, Sessions
from accredit.interfaces import StoreUnavailable
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.hand_clock import HandClock

LAMP, PUMP = DeviceId("lamp"), DeviceId("pump")


class Store:
    """A store that may be out of reach."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.unreachable = False

    async def session_cuts(self, after: int, limit: int) -> Sequence[SessionCut]:
        if self.unreachable:
            raise StoreUnavailable("gone")
        return await self._store.session_cuts(after, limit)

    async def newest_session_cut(self) -> int:
        return await self._store.newest_session_cut()


class Process:
    """One of several on a store."""

    def __init__(self, store: SqliteStore, bus: InProcessBus) -> None:
        member = bus.join()
        self.ended: list[tuple[str, str]] = []
        self.clock, self.store = HandClock(), Store(store)
        self.sessions = Sessions(bus=member)
        self.cuts = Cuts(self.store, self.sessions, member, self.clock)

    def connect(self, device_id: DeviceId = LAMP, hub: str = FIRST_HUB) -> None:
        self.sessions.open(device_id, lambda why: self.ended.append((device_id.text, why)), hub)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield opened
    await opened.close()


async def test_what_was_cut_elsewhere_ends_here_once(store):
    here = Process(store, InProcessBus())
    await store.commit([CutSession(FIRST_HUB, PUMP, "before it was started")])
    await here.cuts.start()
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
    await here.cuts.start()
    there.connect()
    await there.cuts.start()
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
    await here.cuts.start()
    await store.commit([CutSession(FIRST_HUB, LAMP, "revoked")])
    while here.sessions.connected(LAMP):
        await asyncio.sleep(0.01)
    await here.cuts.stop()


async def test_who_could_not_look_for_long_ends_all(store):
    here = Process(store, InProcessBus())
    await here.cuts.start()
    await here.cuts.stop()
    here.connect()
    here.store.unreachable = True
    with pytest.raises(StoreUnavailable):
        await here.cuts.look()
    here.store.unreachable = False
    here.clock.advance(KEPT_S)
    await here.cuts.look()
    assert here.ended == []
    here.clock.advance(KEPT_S + 1)
    await here.cuts.look()
    assert here.ended == [("lamp", UNKNOWN)]


async def test_many_are_read_in_portions(store):
    here = Process(store, InProcessBus())
    await here.cuts.start()
    await here.cuts.stop()
    here.connect()
    others = [CutSession(FIRST_HUB, DeviceId(f"d{n}"), "revoked") for n in range(2_000)]
    await store.commit([*others, CutSession(FIRST_HUB, LAMP, "revoked")])
    await here.cuts.look()
    assert here.ended == [("lamp", "revoked")]


async def test_it_goes_on_looking_when_the_store_is_back(store):
    here = Process(store, InProcessBus())
    here.store.unreachable = True
    here.connect()
    await here.cuts.start()
    await asyncio.sleep(0.01)
    await store.commit([CutSession(FIRST_HUB, LAMP, "revoked")])
    here.store.unreachable = False
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
