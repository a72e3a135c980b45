"""What is kept of refused devices, and what a group is open to: written, read, bounded, and gone with its owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from accredit.domain import changes as c
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Malformed
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.domain.setback import Setbacks
from accredit.domain.trace import Asked, DecisionTrace, Step
from accredit.interfaces import Stale
from accredit.seal import Sealer
from accredit.stores.postgresql.store import PostgresqlStore
from accredit.stores.reads import StoreReads
from accredit.stores.refusals import KEPT_OF_EACH
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from support import stored_values as some
from support.stored_values import FLEET, NOW

PUMP = RegistrationId.parse("Pump-1")
SEALER = Sealer([Secret(bytes(range(32)))])
GROUP = GroupId.parse("Fleet")


Opener = Callable[[], Awaitable[StoreReads]]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest) -> Opener:
    if request.param == "sqlite":
        path = request.getfixturevalue("tmp_path") / "accredit.db"
        return lambda: SqliteStore.open(path, SEALER)
    url = request.getfixturevalue("postgres").emptied()
    return lambda: PostgresqlStore.open(url, SEALER)


@pytest.fixture
async def store(opened: Opener) -> AsyncIterator[StoreReads]:
    store = await opened()
    yield store
    await store.close()


def trace(tracking_id: str = "t-1", registration_id: str = "Pump-1", at: int = NOW) -> DecisionTrace:
    steps = (Step("group fleet", "its key did not sign the token"), Step("“ünïcode”", "\x00 stays"))
    return DecisionTrace(
        tracking_id, registration_id, at, Asked.REGISTER, "192.0.2.7", "group/fleet", steps,
        "csr-signature", "The CSR does not prove possession.", "evidence", "hint", 400004,
    )  # fmt: skip


def setbacks(name: str = "Pump-1", **facts) -> Setbacks:
    made = Setbacks(
        RegistrationId.parse(name), FLEET, "e1", 3, "csr-signature", "It said no.", "t-1", NOW - 9, NOW
    )
    return replace(made, **facts)


async def every(store: StoreReads, registration_id: RegistrationId | None = None) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await store.traces(registration_id, cursor, 7)
        found += [each.tracking_id for each in page.rows]
        cursor = page.cursor
        if cursor is None:
            return found


class TestTraces:
    async def test_a_trace_comes_back_as_it_was(self, store):
        await store.commit([c.SaveTrace(trace())])
        assert await store.trace("t-1") == trace()
        assert await store.trace("t-2") is None

    async def test_the_same_call_told_again_replaces(self, store):
        await store.commit([c.SaveTrace(trace())])
        later = replace(trace(), rule="ca-refused", traced_at=NOW + 9)
        await store.commit([c.SaveTrace(later)])
        assert await store.trace("t-1") == later
        assert await every(store) == ["t-1"]

    async def test_listed_for_all_and_for_a_registration_in_any_case(self, store):
        for number in range(20):
            await store.commit([c.SaveTrace(trace(f"t-{number}", f"pump-{number % 2}"))])
        assert await every(store) == [f"t-{number}" for number in range(20)]
        assert await every(store, PUMP) == [f"t-{number}" for number in range(1, 20, 2)]

    async def test_of_one_registration_the_newest_are_kept(self, store):
        await store.commit([c.SaveTrace(trace("other", "pump-2"))])
        for number in range(KEPT_OF_EACH + 7):
            await store.commit([c.SaveTrace(trace(f"t-{number}"))])
        assert await every(store, PUMP) == [f"t-{number}" for number in range(7, KEPT_OF_EACH + 7)]
        assert await store.trace("other") is not None

    async def test_old_ones_are_forgotten(self, store):
        for number in range(30):
            await store.commit([c.SaveTrace(trace(f"t-{number}", f"pump-{number}", NOW + number))])
        await store.forget_refusals(NOW + 28, 1_000)
        assert await every(store) == ["t-28", "t-29"]

    async def test_so_is_what_exceeds_the_bound(self, store):
        for number in range(1_200):
            await store.commit([c.SaveTrace(trace(f"t-{number}", f"pump-{number}"))])
        await store.forget_refusals(NOW, 3)
        assert await every(store) == ["t-1197", "t-1198", "t-1199"]

    async def test_a_cursor_of_another_listing_is_refused(self, store):
        with pytest.raises(Malformed):
            await store.traces(None, "bm90IG91cnM=", 5)


class TestSetbacks:
    async def test_saved_counted_and_ended(self, store):
        assert await store.setbacks(PUMP) is None
        await store.commit([c.SaveSetbacks(setbacks())])
        assert await store.setbacks(RegistrationId.parse("pump-1")) == setbacks()
        paused = setbacks(failures=4, paused_at=NOW)
        await store.commit([c.SaveSetbacks(paused)])
        assert await store.setbacks(PUMP) == paused
        assert await store.setbacks(RegistrationId.parse("pump-2")) is None
        await store.commit([c.EndSetbacks(PUMP)])
        await store.commit([c.EndSetbacks(PUMP)])
        assert await store.setbacks(PUMP) is None

    async def test_they_survive_a_restart(self, store, opened):
        await store.commit([c.SaveSetbacks(setbacks(paused_at=NOW))])
        await store.close()
        reopened = await opened()
        assert await reopened.setbacks(PUMP) == setbacks(paused_at=NOW)
        await reopened.close()

    async def test_they_are_seen_though_nobody_had_any_before(self, store):
        assert await store.setbacks(PUMP) is None
        await store.commit([c.SaveSetbacks(setbacks("pump-9"))])
        assert await store.setbacks(PUMP) is None
        await store.commit([c.SaveSetbacks(setbacks())])
        assert await store.setbacks(PUMP) == setbacks()

    async def test_only_a_pause_is_kept_for_long(self, store):
        await store.commit(
            [c.SaveSetbacks(setbacks()), c.SaveSetbacks(setbacks("pump-2", paused_at=NOW - 5))]
        )
        await store.forget_refusals(NOW + 1, 100)
        assert await store.setbacks(PUMP) is None
        assert await store.setbacks(RegistrationId.parse("pump-2")) is not None

    async def test_deleting_the_registration_ends_them(self, store):
        registration = some.registration("Pump-1")
        await store.commit([c.SaveRegistration(registration, None), c.SaveSetbacks(setbacks())])
        await store.commit([c.DeleteRegistration(PUMP, registration.etag)])
        assert await store.setbacks(PUMP) is None


class TestRoom:
    async def test_a_group_has_room_until_it_has_as_many_as_it_may(self, store):
        for number in range(3):
            made = some.registration(f"pump-{number}", enrollment=FLEET)
            await store.commit([c.AssertRoom(FLEET, 3), c.SaveRegistration(made, None)])
        with pytest.raises(Stale) as full:
            await store.commit(
                [
                    c.AssertRoom(FLEET, 3),
                    c.SaveRegistration(some.registration("pump-3", enrollment=FLEET), None),
                ]
            )
        assert full.value.change == c.AssertRoom(FLEET, 3)
        await store.commit([c.AssertRoom(FLEET, 4)])

    async def test_units_of_one_commit_count_each_other(self, store):
        units = [
            [c.AssertRoom(FLEET, 5), c.SaveRegistration(some.registration(f"p-{n}", enrollment=FLEET), None)]
            for n in range(12)
        ]
        outcomes = await asyncio.gather(*(store.commit(unit) for unit in units), return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) == 5
        assert len((await store.registrations(FLEET, None, 100)).rows) == 5


class TestAllowed:
    async def test_put_on_the_list_and_taken_off(self, store):
        await store.commit([c.AllowRegistrations(GROUP, (PUMP, RegistrationId.parse("pump-2")))])
        await store.commit([c.AllowRegistrations(GROUP, (RegistrationId.parse("PUMP-2"),))])
        assert await store.allows(GroupId.parse("FLEET"), RegistrationId.parse("PUMP-1"))
        assert not await store.allows(GroupId.parse("other"), PUMP)
        await store.commit([c.DisallowRegistrations(GROUP, (PUMP, RegistrationId.parse("pump-9")))])
        assert not await store.allows(GROUP, PUMP)
        assert (await store.allowed(GROUP, None, 9)).rows == [RegistrationId.parse("pump-2")]

    async def test_listed_by_name_in_pages(self, store):
        names = [f"Pump-{number:02}" for number in range(10)]
        await store.commit([c.AllowRegistrations(GROUP, tuple(map(RegistrationId.parse, reversed(names))))])
        first = await store.allowed(GROUP, None, 6)
        rest = await store.allowed(GROUP, first.cursor, 6)
        assert [each.text for each in (*first.rows, *rest.rows)] == names
        assert rest.cursor is None

    async def test_it_goes_with_its_group(self, store):
        fleet = some.group("Fleet")
        await store.commit([c.SaveEnrollment(fleet, None), c.AllowRegistrations(GROUP, (PUMP,))])
        await store.commit([c.DeleteEnrollment(EnrollmentRef(EnrollmentKind.GROUP, "fleet"), fleet.etag)])
        assert not await store.allows(GROUP, PUMP)
