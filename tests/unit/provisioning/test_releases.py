"""The outbox: a hub elsewhere loses what was moved away, whenever it can be reached, and never what came back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from accredit.domain.changes import DeleteLinkedHub, ReleaseLater, SaveLinkedHub, SettleRelease
from accredit.domain.device import DeviceData, HubIdentity
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.release import Release
from accredit.domain.secret import Secret
from accredit.interfaces import RemoteHub
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.provisioning.releases import Releases
from accredit.values import replace
from support.provisioning_world import World
from support.waiting import until

A, B = "a.example", "b.example"


@dataclass
class Elsewhere:
    """A hub that answers as it is told; `gate` holds calls up."""

    name: str
    kind = HubKind.AZURE
    failures: list[Exception] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    calls: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def delete(self, device_id: DeviceId) -> None:
        self.calls += 1
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.deleted.append(device_id.text)

    async def put(self, identity: HubIdentity) -> None:
        raise AssertionError(identity)

    async def data(self, device_id: DeviceId) -> DeviceData | None:
        raise AssertionError(device_id)


@dataclass
class Outbox:
    world: World
    hubs: dict[str, Elsewhere]
    releases: Releases

    async def put(self, hub: str, *devices: str) -> None:
        entries = [ReleaseLater(Release(hub, DeviceId(name), self.world.now)) for name in devices]
        await self.world.disk.commit(entries)
        self.releases.wake()

    async def left(self) -> Sequence[Release]:
        return await self.world.disk.releases(1000)

    async def emptied(self) -> None:
        while await self.left():
            await asyncio.sleep(0)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[Outbox]:
    hubs = {}

    def made(hub: LinkedHub) -> RemoteHub:
        remote = hubs[hub.name] = Elsewhere(hub.name)
        remote.gate.set()
        return remote

    configured = ConfiguredHubs(world.disk, world.hubs, made)
    await configured.linked()
    releases = Releases(replace(world.means, hubs=configured))
    releases.start()
    try:
        yield Outbox(world, hubs, releases)
    finally:
        await releases.stop()


@pytest.fixture
async def outbox(world: World) -> AsyncIterator[Outbox]:
    secret = Secret(b"HostName=x")
    linked = [LinkedHub(name, HubKind.AZURE, "e", 1, 1, connection_string=secret) for name in (A, B)]
    await world.disk.commit([SaveLinkedHub(hub, None) for hub in linked])
    async with running(world) as made:
        yield made


async def test_what_is_in_the_outbox_is_removed_and_settled(outbox: Outbox) -> None:
    await outbox.put(A, "one", "two")
    await outbox.put(B, "three")
    await outbox.emptied()
    assert outbox.hubs[A].deleted == ["one", "two"]
    assert outbox.hubs[B].deleted == ["three"]


async def test_twice_is_as_once(outbox: Outbox) -> None:
    outbox.hubs[A].gate.clear()
    await outbox.put(A, "one")
    await outbox.put(A, "one")
    outbox.hubs[A].gate.set()
    await outbox.emptied()
    assert outbox.hubs[A].deleted == ["one"]


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamUnavailable("down", rule="hub-unavailable", retry_after_s=40),
        UpstreamRejected("no", rule="hub-refused"),
        ValueError("a bug"),
    ],
)
async def test_it_is_tried_again_until_it_is_done(outbox: Outbox, failure: Exception) -> None:
    outbox.hubs[A].failures = [failure] * 3
    await outbox.put(A, "one", "two")
    await outbox.emptied()
    assert sorted(outbox.hubs[A].deleted) == ["one", "two"]
    assert len(outbox.world.slept) == 3
    if isinstance(failure, UpstreamUnavailable):
        assert min(outbox.world.slept) == 40


async def test_a_hub_that_is_down_holds_up_no_other(outbox: Outbox) -> None:
    outbox.hubs[A].gate.clear()
    await outbox.put(A, "one")
    await outbox.put(B, "two")
    while len(await outbox.left()) == 2:
        await asyncio.sleep(0)
    assert outbox.hubs[B].deleted == ["two"]
    assert [release.device_id.text for release in await outbox.left()] == ["one"]


async def test_more_than_are_read_at_once(outbox: Outbox) -> None:
    names = [f"device-{number}" for number in range(600)]
    await outbox.put(A, *names)
    await outbox.emptied()
    assert outbox.hubs[A].deleted == names


async def test_what_is_assigned_again_is_kept(outbox: Outbox) -> None:
    """The unit that assigns it there settles the entry, and holds the turn."""
    device = DeviceId("one")
    async with outbox.releases.turn(A, device):
        await outbox.put(A, "one", "two")
        for _ in range(50):
            await asyncio.sleep(0)
        assert outbox.hubs[A].calls == 0
        await outbox.world.disk.commit([SettleRelease(A, device)])
    await outbox.emptied()
    assert outbox.hubs[A].deleted == ["two"]


async def test_a_release_under_way_holds_the_turn(outbox: Outbox) -> None:
    outbox.hubs[A].gate.clear()
    await outbox.put(A, "one")
    await until(lambda: outbox.hubs[A].calls)
    async with outbox.releases.turn(B, DeviceId("one")):
        pass
    waiting = asyncio.create_task(outbox.releases.turn(A, DeviceId("one")).__aenter__())
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    outbox.hubs[A].gate.set()
    await waiting


async def test_a_restart_goes_on(world: World, outbox: Outbox) -> None:
    outbox.hubs[A].gate.clear()
    await outbox.put(A, "one", "two")
    await until(lambda: outbox.hubs[A].calls)
    await outbox.releases.stop()
    assert len(await outbox.left()) == 2
    async with running(world) as again:
        await again.emptied()
        assert again.hubs[A].deleted == ["one", "two"]


async def test_what_was_due_at_a_hub_that_is_unlinked_is_forgotten(outbox: Outbox) -> None:
    outbox.hubs[A].failures = [UpstreamRejected("no", rule="hub-refused")]
    outbox.world.sleep_ends.clear()
    await outbox.put(A, "one")
    await until(lambda: outbox.world.slept)
    (hub,) = [hub for hub in await outbox.world.disk.linked_hubs() if hub.name == A]
    await outbox.world.disk.commit([DeleteLinkedHub(hub)])
    assert await outbox.left() == []
    outbox.world.sleep_ends.set()
    await outbox.put(B, "two")
    await outbox.emptied()
    assert outbox.hubs[A].deleted == []
