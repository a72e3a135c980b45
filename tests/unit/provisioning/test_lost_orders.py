"""What an order has made whose answer was lost is found long after, and revoked; and nothing else is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from accredit.domain.changes import OpenOperation, SaveOperation, WatchLostOrder
from accredit.domain.credential import STRAY, CertificateRecord
from accredit.domain.custody import LostOrder, OrphanKind
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.domain.issuance_log import LeafKind
from accredit.domain.registration import Assigned, Ended, OperationState
from accredit.provisioning.lost_orders import AT_ONCE, LostOrders
from accredit.values import replace
from support.logs import capture_logs
from support.provisioning_world import OUTSIDE, World, opened
from support.scripted_ca import (
    Finds,
    at_the_gate,
    delivers,
    loses_the_order,
    pending,
    rejects,
)
from support.waiting import until

DAY = 86_400
MINUTE = 60


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[World]:
    """Register calls answer at once that the operation goes on."""
    async with opened(tmp_path, patience_s=0) as made:
        yield made


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


class Watcher:
    """The worker of a world, without its task; `told` counts how often there was something to revoke."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told = 0
        self.lost_orders = LostOrders(world.means, self._tell)

    def _tell(self) -> None:
        self.told += 1

    def over(self, authority: Any) -> None:
        """Every name is this authority's, or nobody's."""

        class Authorities:
            async def get(self, _: AuthorityName) -> Any:
                return authority

        self.lost_orders = LostOrders(replace(self.world.means, authorities=Authorities()), self._tell)

    async def look(self, after_s: int = 0) -> list[CertificateRecord]:
        """What is on record, once what is due after so many seconds was looked up."""
        self.world.clock.advance(after_s)
        while await self.lost_orders.look():
            pass
        return list(await self.world.certificates())


async def lost(world: World, name: str = "dev-1", attempts: int = 1) -> None:
    """A device's order is lost, and its operation fails at its deadline: an entry `unknown` is all that is left."""
    await world.individual(name, authority=OUTSIDE)
    world.ca.will(*[loses_the_order] * attempts, rejects)
    answer = await world.device(name).outcome(await world.device(name).certify())
    assert isinstance(answer, Ended)
    assert len(await world.leaves(LeafKind.UNKNOWN)) >= attempts


async def watched(world: World, at: int | None = None) -> list[int]:
    """When the lost orders are looked at next."""
    horizon = world.now + 4_000 * DAY if at is None else at
    return [each.next_look_at for each in await world.disk.lost_orders(horizon, 500)]


async def orphans(world: World) -> list[Any]:
    return list((await world.disk.orphans(None, 500)).rows)


class TestOrphans:
    async def test_one_that_appears_days_later_is_recorded_and_revoked(self, world) -> None:
        await lost(world)
        watcher = Watcher(world)
        assert await watcher.look(MINUTE * 5) == []
        order = world.ca.orders[0]
        signed = world.ca.sign(order)
        (record,) = await watcher.look(3 * DAY)
        assert record.issued.sha256 == signed.sha256
        assert record.profile == STRAY
        assert record.revocation is not None
        due = await world.disk.revocations_to_tell(record.authority, None, 9)
        assert [each.issued.sha256 for each in due.rows] == [signed.sha256]
        assert watcher.told == 1
        assert len(await world.leaves(LeafKind.REVOCATION)) == 1
        await world.audit()

    async def test_the_listing_says_that_it_is_watched_and_then_what_was_found(self, world) -> None:
        await lost(world)
        (unknown,) = await orphans(world)
        assert unknown.kind is OrphanKind.UNKNOWN
        assert unknown.watched_until is not None
        world.ca.sign(world.ca.orders[0])
        await Watcher(world).look(DAY)
        kinds = {each.kind: each for each in await orphans(world)}
        assert kinds.keys() == {OrphanKind.UNKNOWN, OrphanKind.STRAY}
        assert kinds[OrphanKind.STRAY].revoked_at == world.now

    async def test_every_one_is_found_and_each_once(self, world) -> None:
        await lost(world, attempts=2)
        watcher = Watcher(world)
        for order in world.ca.orders[:2]:
            world.ca.sign(order)
        assert len(await watcher.look(DAY)) == 2
        assert len(await watcher.look(DAY)) == 2
        assert watcher.told == 2

    async def test_a_restart_goes_on(self, world) -> None:
        await lost(world)
        world.ca.sign(world.ca.orders[0])
        await world.restart()
        assert len(await Watcher(world).look(DAY)) == 1

    async def test_it_is_found_without_its_enrollment_and_registration(self, world) -> None:
        enrollment = await world.individual("dev-1", authority=OUTSIDE)
        world.ca.will(loses_the_order, rejects)
        await world.device().outcome(await world.device().certify())
        await world.delete_registration("dev-1")
        await world.unenroll(enrollment)
        world.ca.sign(world.ca.orders[0])
        assert len(await Watcher(world).look(DAY)) == 1

    async def test_the_operation_is_kept_for_as_long_as_it_is_watched(self, world) -> None:
        await lost(world)
        world.clock.advance(2 * DAY)
        await world.disk.forget_operations(world.now)
        world.ca.sign(world.ca.orders[0])
        watcher = Watcher(world)
        assert len(await watcher.look()) == 1
        await watcher.look(40 * DAY)
        await watcher.look()
        assert await watched(world) == []
        operation_id = world.ca.orders[0].operation_id
        await world.disk.forget_operations(world.now)
        assert await world.disk.operation(operation_id) is None


class TestNoOrphans:
    async def test_what_is_older_than_the_intent(self, world) -> None:
        """Beyond what CAs backdate: it is of an earlier order, whoever placed that."""
        await lost(world)
        order = world.ca.orders[0]
        world.ca.sign(order, begins=order.since - 3_601)
        kept = world.ca.sign(order, begins=order.since - 3_600)
        assert [each.issued.sha256 for each in await Watcher(world).look(DAY)] == [kept.sha256]

    async def test_what_is_on_record(self, world) -> None:
        """The device has come again meanwhile, with the same key, and has its certificate."""
        await lost(world)
        world.ca.will(delivers)
        answer = await world.device().outcome(await world.device().certify())
        assert isinstance(answer, Assigned)
        (record,) = await Watcher(world).look(DAY)
        assert record.revocation is None
        assert record.profile != STRAY

    async def test_what_may_be_an_order_that_is_under_way(self, impatient) -> None:
        """Signed, and not yet on record: nobody can tell it from an orphan."""
        world = impatient
        await lost(world)
        world.ca.will(at_the_gate(delivers))
        world.ca.asked.clear()
        answer = await world.device().certify()
        await world.ca.asked.wait()
        world.ca.sign(world.ca.orders[0])
        watcher = Watcher(world)
        looks = await watched(world)
        assert await watcher.look(max(looks) - world.now) == []
        world.ca.gate.set()
        assert isinstance(await world.device().outcome(answer), Assigned)
        records = await watcher.look(DAY)
        assert sorted(each.revocation is None for each in records) == [False, True]

    async def test_what_was_ordered_while_the_ca_was_being_asked(self, impatient) -> None:
        """The order is placed after the look began; its certificate is in what the CA tells."""
        world = impatient
        await lost(world)
        watcher = Watcher(world)
        answers: list[Any] = []

        async def meanwhile(ca, order):
            ca.sign(order)
            await ca.gate.wait()
            return await pending()(ca, order)

        world.ca.will(meanwhile)

        class Overtaken(Finds):
            """A connector during whose look-up the device registers."""

            async def find(self, order):
                world.ca.asked.clear()
                answers.append(await world.device().certify())
                await world.ca.asked.wait()
                return await super().find(order)

        record = await world.disk.authority(AuthorityName.parse(OUTSIDE))
        watcher.over(Overtaken(record, world.ca))
        assert await watcher.look(DAY) == []
        world.ca.gate.set()
        assert isinstance(await world.device().outcome(answers[0]), Assigned)


class TestSchedule:
    async def test_looks_grow_seldom_and_end_after_thirty_days(self, world) -> None:
        await lost(world)
        begun = world.now
        watcher = Watcher(world)
        instants = []
        while due := await watched(world):
            world.clock.advance(max(0, due[0] - world.now))
            instants.append(world.now)
            assert await watcher.look() == []
        gaps = [after - before for before, after in zip(instants, instants[1:], strict=False)]
        assert 30 * DAY - MINUTE * 10 <= instants[-1] - begun <= 30 * DAY
        assert len(instants) < 90
        assert max(gaps) <= DAY
        assert gaps[0] < MINUTE * 5

    async def test_a_silent_ca_is_not_asked_for_each(self, world, lines) -> None:
        for number in range(5):
            await lost(world, f"dev-{number}")
        world.ca.finds += [UpstreamUnavailable("down", rule="ca-unavailable", retry_after_s=1)]
        for order in {each.registration_id: each for each in world.ca.orders}.values():
            world.ca.sign(order)
        watcher = Watcher(world)
        world.clock.advance(MINUTE * 10)
        await watcher.lost_orders.look()
        assert await world.certificates() == []
        assert [line["event"] for line in lines].count("lost-order-not-looked-up") == 1
        assert len(await watcher.look(DAY)) == 5

    async def test_one_that_can_not_be_asked_is_not_watched_on(self, world) -> None:
        await lost(world)
        await world.restart(connector="orders")
        await Watcher(world).look(DAY)
        assert await watched(world) == []

    async def test_one_that_is_gone_may_come_back(self, world) -> None:
        await lost(world)
        world.ca.sign(world.ca.orders[0])
        watcher = Watcher(world)
        watcher.over(None)
        assert await watcher.look(DAY) == []
        watcher.over(await world.get(AuthorityName.parse(OUTSIDE)))
        assert len(await watcher.look(DAY)) == 1

    async def test_a_run_is_bounded_and_says_that_there_is_more(self, world) -> None:
        for number in range(AT_ONCE + 1):
            order = LostOrder(
                f"op-{number}", AuthorityName.parse(OUTSIDE), b"c" * 32, world.now + DAY, world.now
            )
            await world.disk.commit([WatchLostOrder(order)])
        lost_orders = LostOrders(world.means, lambda: None)
        assert await lost_orders.look() is True
        assert await lost_orders.look() is False
        assert await watched(world) == [], "their operations are gone"

    async def test_a_defect_costs_one_order_a_look_and_the_others_nothing(self, world, lines) -> None:
        """Its CSR is damaged, say."""
        await lost(world)
        operation_id = world.ca.orders[0].operation_id
        present = await world.disk.operation(operation_id)
        broken = replace(present, id="op-broken", csr_der=b"no CSR", state=OperationState.OPEN)
        await world.disk.commit([OpenOperation(broken)])
        ended = replace(broken, state=OperationState.FAILED)
        await world.disk.commit([SaveOperation(ended, broken.fence)])
        order = LostOrder("op-broken", AuthorityName.parse(OUTSIDE), b"c" * 32, world.now + 9 * DAY, 0)
        await world.disk.commit([WatchLostOrder(order)])
        world.ca.sign(world.ca.orders[0])
        assert len(await Watcher(world).look(DAY)) == 1
        failed = [line for line in lines if line["event"] == "lost-orders-failed"]
        assert [line["operationId"] for line in failed] == ["op-broken"]
        assert len(await watched(world)) == 2

    async def test_the_operator_may_want_none(self, tmp_path) -> None:
        (tmp_path / "other").mkdir()
        async with opened(tmp_path / "other", orphan_watch_s=0) as world:
            await lost(world)
            assert await watched(world) == []
            (unknown,) = await orphans(world)
            assert unknown.watched_until is None

    async def test_the_worker_looks_by_itself(self, world) -> None:
        await lost(world)
        signed = world.ca.sign(world.ca.orders[0])
        world.clock.advance(DAY)
        found: list[bool] = []
        worker = LostOrders(world.means, lambda: found.append(True))
        world.sleep_ends.clear()
        worker.start()
        await until(lambda: found)
        await worker.stop()
        (record,) = await world.certificates()
        assert record.issued.sha256 == signed.sha256
