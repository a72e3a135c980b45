"""The process dies at any point of an order, the disk is full there, or the database away, so that nobody knows what it has:
nothing is lost, nothing is told that is not so.

Every test walks through one story again and again, and has it break off one commit later each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from accredit.domain.device import DeviceData
from accredit.domain.enrollment import ReprovisionPolicy
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.issuance_log import LeafKind
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Answer, Assigned, OperationState
from accredit.interfaces import WebhookAnswer
from support.provisioning_world import BUILTIN, HUB, OUTSIDE, World, opened, sha256_of
from support.scripted_ca import (
    at_the_gate,
    deferred,
    delivers,
    loses_the_answer,
    loses_the_order,
    pending,
    signs_another_name,
    then_at_the_gate,
)
from support.scripted_hub import forever
from support.scripted_webhooks import Asked, says
from support.troubled_store import TroubledStore
from support.waiting import until

CONNECTORS = ("orders", "finds", "polls", "polls-and-finds")
STORIES = {
    "delivered": [delivers],
    "deferred": [deferred(5), delivers],
    "pending": [pending("seven", 5)],
    "answer lost": [loses_the_answer, delivers],
    "order lost": [loses_the_order, delivers],
    "rejected": [signs_another_name],
}
CASES = [
    pytest.param(connector, story, id=f"{story}-{connector}")
    for story in STORIES
    for connector in CONNECTORS
    if story != "pending" or connector.startswith("polls")
]
MOST_COMMITS = 12

in_trouble = pytest.mark.parametrize(
    "stands", [None, True, False], ids=["full", "unknown", "unknown-and-not"]
)
"""The disk is full at a commit, or that of which nobody knows comes to pass a little later, or never."""


def prepared(world: World, story: str) -> None:
    """The script of the story, with some more for what is ordered again."""
    world.ca.will(*STORIES[story], *[delivers] * 8)
    if story == "pending":
        world.ca.polls += [pending("seven", 5), delivers]


async def until_assigned(world: World) -> Assigned:
    """The device goes on as devices do: it registers with the same key until it is assigned."""
    for _ in range(5):
        answer = await world.device().outcome(await world.device().certify())
        if isinstance(answer, Assigned):
            return answer
    raise AssertionError("never assigned")


async def checked(world: World, answer: Assigned) -> None:
    """It has what it was told: on record, bound, and nothing is left half-done."""
    assert sha256_of(answer) in await world.states()
    assert (await world.registration()).certificate_sha256 == sha256_of(answer)
    assert await world.disk.open_operations() == []
    assert await world.disk.unsettled_operations() == []
    world.ca.script.clear()
    assert sha256_of(await world.device().certify()) == sha256_of(answer)
    await world.audit()


async def run_into(
    world: World, store: TroubledStore, register: Callable[[World], Awaitable[Answer]] | None = None
) -> bool:
    """Register over a store that stops somewhere; whether it came that far."""
    await world.reopen(store)
    call = asyncio.ensure_future(world.device().certify() if register is None else register(world))
    stopped = asyncio.ensure_future(store.stopped.wait())
    await asyncio.wait({call, stopped}, return_when=asyncio.FIRST_COMPLETED)
    died = store.stopped.is_set()
    for task in (call, stopped):
        task.cancel()
    await asyncio.gather(call, stopped, return_exceptions=True)
    return died


@pytest.mark.parametrize(("connector", "story"), CASES)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_the_process_dies_at_a_commit(tmp_path: Path, connector: str, story: str, before: bool) -> None:
    for number in range(1, MOST_COMMITS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder, connector=connector) as world:
            await world.individual(authority=OUTSIDE)
            prepared(world, story)
            died = await run_into(world, TroubledStore(world.disk, stops_at=number, before=before))
            await world.restart()
            await checked(world, await until_assigned(world))
        if not died:
            return
    raise AssertionError("the story has no end")


@pytest.mark.parametrize(("connector", "story"), CASES)
@in_trouble
async def test_the_database_is_in_trouble_at_a_commit(
    tmp_path: Path, connector: str, story: str, stands: bool | None
) -> None:
    for number in range(1, MOST_COMMITS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder, connector=connector) as world:
            await world.individual(authority=OUTSIDE)
            prepared(world, story)
            store = TroubledStore(world.disk, fails_at=number, stands=stands)
            world.open(store)
            with suppress(UpstreamUnavailable):
                answer = await world.device().certify()
                if isinstance(answer, Assigned):
                    assert await world.registration() == answer.registration
            if store.commits < number:
                return
            await checked(world, await until_assigned(world))
            if story == "delivered":
                assert len(world.ca.ledger) == 1, "an answer in hand is not asked for again"
    raise AssertionError("the story has no end")


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_the_process_dies_while_our_own_ca_signs(tmp_path: Path, before: bool) -> None:
    """No intent is written for it: an uncommitted signature was never shown to anybody."""
    async with opened(tmp_path) as world:
        await world.individual(authority=BUILTIN)
        assert await run_into(world, TroubledStore(world.disk, stops_at=1, before=before))
        assert await world.restart() == 0
        answer = await until_assigned(world)
        assert answer.certified.fresh is before
        assert len(await world.certificates()) == 1
        await checked(world, answer)


@in_trouble
async def test_the_database_is_in_trouble_while_our_own_ca_signs(world: World, stands: bool | None) -> None:
    await world.individual(authority=BUILTIN)
    world.open(TroubledStore(world.disk, fails_at=1, stands=stands))
    with pytest.raises(UpstreamUnavailable) as refused:
        await world.device().certify()
    assert refused.value.rule == "store-unavailable"
    assert await world.certificates() == []
    assert (await world.disk.leaves(None, 9)).rows == []
    await checked(world, await until_assigned(world))


@pytest.mark.parametrize("connector", CONNECTORS)
@pytest.mark.parametrize(
    "step", [at_the_gate(delivers), then_at_the_gate(delivers)], ids=["unsigned", "signed"]
)
async def test_the_process_dies_while_the_ca_signs(tmp_path: Path, connector: str, step) -> None:
    async with opened(tmp_path, connector=connector, patience_s=0) as world:
        await world.individual(authority=OUTSIDE)
        world.ca.will(step, delivers)
        answer = await world.device().certify()
        await until(lambda: world.ca.orders)
        assert (await world.disk.operation(answer.operation_id)).submitted
        assert await world.restart() == 1
        done = await world.device().outcome(answer)
        assert isinstance(done, Assigned)
        found = connector in {"finds", "polls-and-finds"} and step is not None and len(world.ca.ledger) == 1
        doubts = len(await world.leaves(LeafKind.UNKNOWN))
        assert (doubts == 0) is (found and len(world.ca.orders) == 1)
        await checked(world, done)


@pytest.mark.parametrize("connector", ["polls", "polls-and-finds"])
async def test_the_process_dies_while_the_order_is_pending(tmp_path: Path, connector: str) -> None:
    async with opened(tmp_path, connector=connector, patience_s=0) as world:
        await world.individual(authority=OUTSIDE)
        world.sleep_ends.clear()
        world.ca.will(pending("seven", 5))
        answer = await world.device().certify()
        await until(lambda: world.slept)
        world.ca.sign(world.ca.orders[0])
        world.sleep_ends.set()
        assert await world.restart() == 1
        done = await world.device().outcome(answer)
        assert isinstance(done, Assigned)
        assert len(world.ca.orders) == 1
        assert await world.leaves(LeafKind.UNKNOWN) == []
        await checked(world, done)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_the_process_dies_while_an_order_is_superseded(tmp_path: Path, before: bool) -> None:
    for number in range(1, MOST_COMMITS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder, connector="finds", patience_s=0) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(then_at_the_gate(delivers), *[delivers] * 4)
            await world.device(key=1).certify()
            await until(lambda world=world: world.ca.ledger)
            earlier = world.orders
            world.patience_s = 60
            died = await run_into(world, TroubledStore(world.disk, stops_at=number, before=before))
            await earlier.stop(0)
            await world.restart()
            answer = await until_assigned(world)
            for left in await world.disk.unsettled_operations():
                await world.orders.settled(left.id, 60)
            states = await world.states()
            assert list(states) == [sha256_of(answer)] or before
            await checked(world, answer)
            ended = {each.state for each in await every_operation(world)}
            assert OperationState.OPEN not in ended
        if not died:
            return
    raise AssertionError("the story has no end")


async def every_operation(world: World):
    known = {order.operation_id for order in world.ca.orders}
    return [await world.disk.operation(each) for each in known]


HOOK = {"webhookUrl": "https://hook.example/", "apiVersion": "2021-10-01"}
NEAR, FAR, FARTHER = HUB, "far.example", "farther.example"


@dataclass(frozen=True)
class Assignment:
    """One way to be assigned: what the enrollment says, at which hub the device was, and at which it shall be."""

    there: str
    here: str | None = None
    authority: str | None = None
    asks: tuple[str, ...] = ()
    resets: bool = False

    async def enrolled(self, world: World) -> None:
        """As it begins: the device is at `here`, with data of its own."""
        settings = dict.fromkeys(self.asks, HOOK)
        policy = ReprovisionPolicy(migrate_device_data=not self.resets)
        at_first = (self.here or self.there,)
        by = await world.individual(
            hubs=at_first, initial_twin={"tags": {"n": 1}}, iot_edge=True, reprovision=policy
        )
        if self.here is not None:
            assert isinstance(await world.device().outcome(await world.device().register()), Assigned)
        custom = "customAllocationDefinition" in self.asks
        await world.change(
            by,
            hubs=(self.there,) if not custom else (),
            authority=None if self.authority is None else AuthorityName.parse(self.authority),
            allocation_policy="custom" if custom else "hashed",
            initial_twin={"tags": {"n": 2}},
            iot_edge=False,
            settings=settings,
        )
        world.ca.will(*[delivers] * 4)
        world.webhooks.always = self.says

    async def says(self, asked: Asked) -> WebhookAnswer:
        return says(iotHubHostName=self.there) if "linkedHubs" in asked.body else says(allow=True)

    def data(self) -> DeviceData:
        """What the hub shall have in the end."""
        moves = self.here is not None and not self.resets
        return DeviceData({"n": 1}, {}, iot_edge=True) if moves else DeviceData({"n": 2})

    async def register(self, world: World) -> Answer:
        return await (world.device().register() if self.authority is None else world.device().certify())


HOOKS = ("preRegistrationWebhook", "customAllocationDefinition")
ASSIGNMENTS = {
    "asks where": Assignment(NEAR, asks=HOOKS[1:]),
    "asks both, with a certificate": Assignment(NEAR, asks=HOOKS, authority=OUTSIDE),
    "asks both, for elsewhere": Assignment(FAR, asks=HOOKS, authority=BUILTIN),
    "elsewhere": Assignment(FAR),
    "elsewhere, with a certificate": Assignment(FAR, authority=OUTSIDE),
    "elsewhere, with our own certificate": Assignment(FAR, authority=BUILTIN),
    "moves out": Assignment(FAR, here=NEAR),
    "moves in": Assignment(NEAR, here=FAR),
    "moves in, with a certificate": Assignment(NEAR, here=FAR, authority=OUTSIDE),
    "moves from elsewhere to elsewhere": Assignment(FARTHER, here=FAR),
    "moves among our own": Assignment("b.example", here=NEAR),
    "is reset on its way": Assignment(FARTHER, here=FAR, resets=True),
    "asks, and moves": Assignment(FARTHER, here=FAR, asks=HOOKS[1:], authority=OUTSIDE),
}


async def prepared_hubs(world: World, way: Assignment) -> None:
    await world.link(FAR)
    await world.link(FARTHER)
    await way.enrolled(world)


async def data_at(world: World, hub: str) -> DeviceData | None:
    if hub in world.elsewhere:
        told = world.elsewhere[hub].devices.get("dev-1")
        return None if told is None else told.data
    found = await world.disk.hub_device(FIRST_HUB if hub == NEAR else hub, DeviceId("dev-1"))
    return None if found is None else found.data


async def in_place(world: World, way: Assignment) -> None:
    """The device is at its hub, with what it should have, and at no other."""
    while await world.disk.releases(1):
        await asyncio.sleep(0)
    assert (await world.registration()).hub == way.there
    for hub in (NEAR, "b.example", FAR, FARTHER):
        expected = way.data() if hub == way.there else None
        assert await data_at(world, hub) == expected, hub
    assert await world.disk.open_operations() == []
    assert await world.disk.unsettled_operations() == []
    await world.audit()


@pytest.mark.parametrize("way", ASSIGNMENTS.values(), ids=ASSIGNMENTS.keys())
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_the_process_dies_on_the_way_to_a_hub(tmp_path: Path, way: Assignment, before: bool) -> None:
    for number in range(1, MOST_COMMITS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder, hubs=(NEAR, "b.example"), connector="finds") as world:
            await prepared_hubs(world, way)
            asked_before = len(world.webhooks.asked)
            store = TroubledStore(world.disk, stops_at=number, before=before)
            died = await run_into(world, store, way.register)
            await world.restart()
            for left in await world.disk.open_operations():
                await world.orders.settled(left.id, 60)
            registration = await world.disk.registration(RegistrationId.parse("dev-1"))
            if registration is None or registration.hub != way.there:
                assert isinstance(await world.device().outcome(await way.register(world)), Assigned)
            await in_place(world, way)
            # What was said is not asked for again, unless it died before it could be made durable.
            most = len(way.asks) + (died and before and bool(way.asks))
            assert len(world.webhooks.asked) - asked_before <= most
        if not died:
            return
    raise AssertionError("the way has no end")


@pytest.mark.parametrize("way", ASSIGNMENTS.values(), ids=ASSIGNMENTS.keys())
@in_trouble
async def test_the_database_is_in_trouble_on_the_way_to_a_hub(
    tmp_path: Path, way: Assignment, stands: bool | None
) -> None:
    for number in range(1, MOST_COMMITS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder, hubs=(NEAR, "b.example"), connector="finds") as world:
            await prepared_hubs(world, way)
            store = TroubledStore(world.disk, fails_at=number, stands=stands)
            await world.reopen(store)
            try:
                answer = await world.device().outcome(await way.register(world))
            except UpstreamUnavailable:
                answer = await world.device().outcome(await way.register(world))
            assert isinstance(answer, Assigned)
            await in_place(world, way)
            assert len(world.webhooks.asked) == len(way.asks), "an answer in hand is not asked for again"
        if store.commits < number:
            return
    raise AssertionError("the way has no end")


@pytest.mark.parametrize("way", ["elsewhere", "moves out", "moves from elsewhere to elsewhere"])
async def test_the_process_dies_while_a_hub_elsewhere_is_told(tmp_path: Path, way: str) -> None:
    assignment = ASSIGNMENTS[way]
    async with opened(tmp_path, hubs=(NEAR, "b.example"), patience_s=0) as world:
        await prepared_hubs(world, assignment)
        told = world.elsewhere[assignment.there]
        told.after.append(forever)
        answer = await assignment.register(world)
        await until(lambda: told.devices)
        assert await world.restart() == 1
        assert isinstance(await world.device().outcome(answer), Assigned)
        assert told.calls == ["put dev-1"] * 2
        await in_place(world, assignment)
