"""The process dies at any point of an order, or the disk is full there: nothing is lost, nothing is told that is not so.

Every test walks through one story again and again, and has it break off one commit later each time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.issuance_log import LeafKind
from accredit.domain.registration import Assigned, OperationState
from support.provisioning_world import BUILTIN, OUTSIDE, World, opened, sha256_of
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


async def run_into(world: World, store: TroubledStore) -> bool:
    """Register over a store that stops somewhere; whether it came that far."""
    world.open(store)
    call = asyncio.ensure_future(world.device().certify())
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
async def test_the_disk_is_full_at_a_commit(tmp_path: Path, connector: str, story: str) -> None:
    for number in range(1, MOST_COMMITS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder, connector=connector) as world:
            await world.individual(authority=OUTSIDE)
            prepared(world, story)
            store = TroubledStore(world.disk, fails_at=number)
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


async def test_the_disk_is_full_while_our_own_ca_signs(world: World) -> None:
    await world.individual(authority=BUILTIN)
    world.open(TroubledStore(world.disk, fails_at=1))
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
