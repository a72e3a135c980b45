"""Several processes on one store: an operation has one owner at a time, and outlives each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from accredit.buses.in_process import InProcessBus
from accredit.domain.changes import Change, TakeLease
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.issuance_log import LeafKind
from accredit.domain.registration import Assigned, Assigning, OperationState
from accredit.interfaces import CommitUnknown, Stale, StoreUnavailable
from accredit.provisioning.leases import DUTY_S, LEASE_S, MARGIN_S, Alone, Shared
from support.counted_entropy import CountedEntropy
from support.provisioning_world import OUTSIDE, World, opened, operation_of, sha256_of
from support.scripted_ca import at_the_gate, delivers, loses_the_answer, then_at_the_gate
from support.troubled_store import TroubledStore


def joined(world: World, **more: object) -> World:
    """Another process on the same store."""
    return World(
        world.disk, world.clock, world.ca, CountedEntropy(b"other"), shared=True,
        **{"bus": world.bus, "connector": world.connector, **more},
    )  # fmt: skip


class Severable(TroubledStore):
    """Once it is severed nothing is committed by it any more, as by a process that has died."""

    severed = False

    async def commit(self, unit: Sequence[Change]) -> None:
        if self.severed:
            raise StoreUnavailable("severed")
        await super().commit(unit)


async def died(world: World) -> None:
    world.store.severed = True
    await world.stop()


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path, shared=True) as made:
        await made.reopen(Severable(made.disk))
        await made.individual(authority=OUTSIDE)
        yield made
        await made.audit()


@pytest.fixture
async def other(one: World) -> AsyncIterator[World]:
    made = joined(one)
    yield made
    await made.stop()


async def ordered(world: World) -> Assigning:
    """An operation that its process has just sent to the CA."""
    world.ca.asked.clear()
    asking = asyncio.create_task(world.device().certify())
    await world.ca.asked.wait()
    operation = await world.disk.open_operation(world.device().request().registration_id)
    asking.cancel()
    return Assigning(operation.id, operation.registration_id, 3)


async def turns_of_the_loop() -> None:
    """As many as whoever was just started needs to begin waiting."""
    for _ in range(100):
        await asyncio.sleep(0)


class TestTaken:
    async def test_when_its_owner_has_died_and_its_lease_has_ended(self, one, other):
        one.ca.will(at_the_gate(delivers), delivers)
        begun = await ordered(one)
        await died(one)
        await other.orders.sweep()
        assert len(one.ca.orders) == 1
        one.clock.advance(LEASE_S)
        await other.orders.sweep()
        answer = await other.device().outcome(begun)
        assert isinstance(answer, Assigned)
        assert sha256_of(answer) in await one.states()
        assert len(one.ca.ledger) == 1

    async def test_and_not_while_its_owner_renews_it(self, one, other):
        one.ca.will(at_the_gate(delivers))
        begun = await ordered(one)
        for _ in range(4):
            one.clock.advance(LEASE_S / 2)
            await one.orders.sweep()
            await other.orders.sweep()
        one.ca.gate.set()
        assert isinstance(await one.device().outcome(begun), Assigned)
        assert len(one.ca.orders) == 1

    async def test_what_was_signed_for_the_dead_one_is_found(self, one, other):
        one.ca.will(then_at_the_gate(delivers))
        begun = await ordered(one)
        await died(one)
        one.clock.advance(LEASE_S)
        await other.orders.sweep()
        answer = await other.device().outcome(begun)
        assert sha256_of(answer) == one.ca.ledger[0][1].sha256
        assert len(one.ca.orders) == 1

    async def test_at_a_start(self, one, other):
        one.ca.will(at_the_gate(delivers), delivers)
        begun = await ordered(one)
        await died(one)
        assert await other.orders.resume() == 0
        one.clock.advance(LEASE_S)
        assert await other.orders.resume() == 1
        assert isinstance(await other.device().outcome(begun), Assigned)

    async def test_with_what_a_superseded_order_has_made(self, one, other):
        one.ca.will(then_at_the_gate(loses_the_answer), delivers)
        begun = await ordered(one)
        await died(one)
        assert isinstance(await other.device().certify(1), Assigned)
        assert (await one.disk.operation(begun.operation_id)).submitted
        one.clock.advance(LEASE_S)
        await other.orders.sweep()
        while (await one.disk.operation(begun.operation_id)).submitted:
            await asyncio.sleep(0)
        assert len(await one.certificates()) == 2

    async def test_by_one_of_many(self, one, other):
        third = World(one.disk, one.clock, one.ca, CountedEntropy(b"third"), shared=True)
        one.ca.will(at_the_gate(delivers), delivers)
        begun = await ordered(one)
        await died(one)
        one.clock.advance(LEASE_S)
        await asyncio.gather(other.orders.sweep(), third.orders.sweep())
        while (await one.disk.operation(begun.operation_id)).state is OperationState.OPEN:
            await asyncio.sleep(0)
        assert len(one.ca.ledger) == 1
        await third.stop()

    async def test_at_once_when_its_owner_has_stopped(self, one, other):
        one.ca.will(at_the_gate(delivers), delivers)
        begun = await ordered(one)
        await one.stop()
        await other.orders.sweep()
        answer = await other.device().outcome(begun)
        assert isinstance(answer, Assigned)


class TestUnknown:
    """Its owner renews whatever is its own, so that nobody else would ever go on with it."""

    async def test_what_may_have_been_opened_is_worked_on(self, one):
        world = joined(one)
        world.open(TroubledStore(one.disk, fails_at=1, stands=True))
        one.ca.will(delivers)
        with pytest.raises(UpstreamUnavailable):
            await world.device().certify()
        assert isinstance(await world.device().outcome(await world.device().certify()), Assigned)
        assert len(one.ca.orders) == 1
        await world.stop()

    @pytest.mark.parametrize("stands", [True, False])
    async def test_what_may_have_been_taken_is_worked_on(self, one, stands):
        one.ca.will(at_the_gate(delivers), delivers)
        begun = await ordered(one)
        await died(one)
        one.clock.advance(LEASE_S)
        world = joined(one)
        world.open(TroubledStore(one.disk, fails_at=1, stands=stands))
        with pytest.raises(CommitUnknown):
            await world.orders.sweep()
        if not stands:
            await world.orders.settled(begun.operation_id, LEASE_S)
            await world.orders.sweep()
        assert isinstance(await world.device().outcome(begun), Assigned)
        await world.stop()


class TestLost:
    async def test_its_owner_of_before_writes_nothing_more(self, one, other):
        one.ca.will(at_the_gate(delivers), delivers)
        begun = await ordered(one)
        one.clock.advance(LEASE_S)
        await other.orders.sweep()
        answer = await other.device().outcome(begun)
        one.ca.gate.set()
        while len(await one.certificates()) < 2:
            await asyncio.sleep(0)
        operation = await one.disk.operation(begun.operation_id)
        assert (operation.lease_owner, operation.state) == (other.owner, OperationState.ASSIGNED)
        # What it was given in the end is on record, and bound to nothing.
        assert len(one.ca.ledger) == 2
        assert list(await one.states()) == [sha256_of(answer)]

    async def test_nobody_is_called_beyond_the_lease(self, one, other):
        leases = Shared(one.disk, "me", one.clock)
        with pytest.raises(TimeoutError):
            async with leases.in_time(leases.now() + MARGIN_S):
                await asyncio.Event().wait()

    async def test_an_order_that_took_too_long_is_looked_up(self, tmp_path):
        async with opened(tmp_path, shared=True, lease_s=MARGIN_S) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(then_at_the_gate(delivers))
            answer = await world.device().outcome(await world.device().certify())
            assert sha256_of(answer) == world.ca.ledger[0][1].sha256
            await world.audit()


class TestElsewhere:
    async def test_who_joins_an_operation_of_another_process_waits_for_it(self, one, other):
        one.ca.will(at_the_gate(delivers))
        begun = await ordered(one)
        joining = asyncio.create_task(other.device().certify())
        await turns_of_the_loop()
        one.ca.gate.set()
        answer = await joining
        assert isinstance(answer, Assigned)
        assert operation_of(answer) == begun.operation_id

    async def test_also_when_the_bus_is_dead(self, one):
        other = joined(one, bus=InProcessBus())
        one.ca.will(at_the_gate(delivers))
        await ordered(one)
        joining = asyncio.create_task(other.device().certify())
        await turns_of_the_loop()
        one.ca.gate.set()
        assert isinstance(await joining, Assigned)
        await other.stop()

    async def test_not_beyond_its_patience(self, one):
        impatient = joined(one, patience_s=0.0)
        one.ca.will(at_the_gate(delivers))
        begun = await ordered(one)
        answer = await impatient.device().certify()
        assert (type(answer), operation_of(answer)) == (Assigning, begun.operation_id)
        one.ca.gate.set()
        assert isinstance(await one.device().outcome(begun), Assigned)
        assert isinstance(await impatient.device().poll(begun), Assigned)
        await impatient.stop()


class TestDuties:
    async def test_are_one_process_s_at_a_time(self, one):
        a, b = (Shared(one.disk, name, one.clock) for name in "ab")
        assert await a.mine("duty")
        assert not await b.mine("duty")
        assert await b.mine("other")
        one.clock.advance(DUTY_S - 1)
        assert await a.mine("duty")
        one.clock.advance(DUTY_S - 1)
        assert not await b.mine("duty")
        one.clock.advance(DUTY_S)
        assert await b.mine("duty")
        assert not await a.mine("duty")

    async def test_are_given_back_by_who_stops(self, one):
        a, b = (Shared(one.disk, name, one.clock) for name in "ab")
        assert await a.mine("duty")
        await a.close()
        assert await b.mine("duty")

    async def test_are_all_of_the_one_that_is_alone(self, one):
        alone = Alone(one.clock)
        assert await alone.mine("duty")
        assert await one.disk.lease("duty") is None


class TestTurns:
    async def test_come_one_after_the_other(self, one):
        a, b = (Shared(one.disk, name, one.clock, sleep=lambda _: asyncio.sleep(0)) for name in "ab")
        order: list[str] = []

        async def takes(leases: Shared, name: str) -> None:
            async with leases.turn("device") as lease:
                order.append(f"{name} begins")
                await asyncio.sleep(0.01)
                await one.disk.commit(leases.held(lease))
                order.append(f"{name} ends")

        await asyncio.gather(takes(a, "a"), takes(a, "b"), takes(b, "c"))
        assert all(order[n].removesuffix(" begins") == order[n + 1].removesuffix(" ends") for n in (0, 2, 4))

    async def test_end_with_their_owner(self, one):
        dead, alive = (Shared(one.disk, name, one.clock) for name in ("dead", "alive"))
        async with dead.turn("device") as lost:
            one.clock.advance(LEASE_S)
            async with alive.turn("device"):
                with pytest.raises(Stale):
                    await one.disk.commit(dead.held(lost))
        # The dead one's end gave nothing of the other's back, and that one's is over.
        await one.disk.commit([TakeLease("device", "third", one.now, one.now + 1)])

    async def test_need_no_row_where_there_is_one_process(self, one):
        alone = Alone(one.clock)
        async with alone.turn("device") as lease:
            assert alone.held(lease) == ()
        assert await one.disk.lease("device") is None


async def test_doubt_is_noted_once_by_whoever_goes_on(tmp_path):
    async with opened(tmp_path, shared=True, connector="orders") as one:
        await one.reopen(Severable(one.disk))
        await one.individual(authority=OUTSIDE)
        one.ca.will(then_at_the_gate(delivers), delivers)
        begun = await ordered(one)
        await died(one)
        other = joined(one)
        one.clock.advance(LEASE_S)
        await other.orders.sweep()
        assert isinstance(await other.device().outcome(begun), Assigned)
        assert len(await one.leaves(LeafKind.UNKNOWN)) == 1
        await other.stop()
        await one.audit()
