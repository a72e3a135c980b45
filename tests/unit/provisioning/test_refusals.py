"""What a refused device leaves behind: traces, a count, a pause in the end; and how it comes out of it."""

from __future__ import annotations

import asyncio

import pytest

from accredit.domain.changes import AllowRegistrations, EndSetbacks
from accredit.domain.credential import Order
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import AccreditError, Malformed, Refused, Throttled, Unauthenticated
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.registration import Assigned, Assigning, Status
from accredit.domain.trace import Asked
from accredit.interfaces import OrderAnswer, Rejected
from accredit.provisioning.limits import WRITTEN, Terms
from support.provisioning_world import OUTSIDE
from support.scripted_ca import ScriptedCA, delivers, rejects
from support.troubled_store import TroubledStore

DEVICE = RegistrationId.parse("dev-1")
REFUSAL_TABLES = ("setbacks", "decision_traces", "allowed_registrations")


async def refused(device, csr: str | None = "rubbish") -> AccreditError:
    with pytest.raises(AccreditError) as caught:
        await device.register(csr)
    return caught.value


async def locked_out(_ca: ScriptedCA, _order: Order) -> OrderAnswer:
    """The CA does not know us any more: that is not the device's fault."""
    return Rejected("401", "ca-credentials")


class TestTraces:
    async def test_a_stranger_s_is_remembered_and_not_written(self, world):
        thief = world.device("nobody")
        await refused(thief, None)
        trace = await world.refusals.traces.find("tracking-1")
        assert (trace.rule, trace.asked, trace.told) == ("sas-signature", Asked.REGISTER, 401002)
        assert trace.enrollment is None
        assert await world.disk.trace("tracking-1") is None
        assert (await world.disk.traces(None, None, 9)).rows == []

    async def test_a_proven_device_s_is_durable(self, world):
        await world.individual()
        await refused(world.device())
        trace = await world.disk.trace("tracking-1")
        assert (trace.rule, trace.told, trace.enrollment) == (
            "csr-not-pem-or-der",
            400004,
            "individual/dev-1",
        )

    async def test_it_survives_a_restart_and_the_ring_does_not(self, world):
        await world.individual()
        await refused(world.device())
        await world.restart()
        assert await world.refusals.traces.find("tracking-1") is not None

    async def test_a_stolen_group_key_does_not_fill_the_disk(self, world):
        await world.group(settings={"allowedRegistrationIdsOnly": True})
        for number in range(WRITTEN.burst + 20):
            await refused(world.device(f"d-{number}", group=True), None)
        await world.individual("honest")
        await refused(world.device("honest"))
        written: list[str] = []
        cursor = None
        while True:
            page = await world.disk.traces(None, cursor, 1_000)
            written += [each.registration_id for each in page.rows]
            cursor = page.cursor
            if cursor is None:
                break
        # One tracking id for all in this world: the last that was written stands for them.
        assert written == ["honest"]
        assert not world.refusals.limits.may_write(EnrollmentRef(EnrollmentKind.GROUP, "line"))
        world.clock.advance(60)
        assert world.refusals.limits.may_write(EnrollmentRef(EnrollmentKind.GROUP, "line"))

    async def test_a_switched_off_enrollment_leaves_one_too(self, world):
        await world.individual(enabled=False)
        assert isinstance(await world.device().register(), Assigning)
        assert (await world.disk.trace("tracking-1")).rule == "enrollment-disabled"

    async def test_a_poll_writes_nothing(self, world):
        await world.individual()
        with pytest.raises(AccreditError):
            await world.device().poll("4.0.none")
        trace = await world.refusals.traces.find("tracking-1")
        assert (trace.rule, trace.asked) == ("operation-unknown", Asked.STATUS)
        assert await world.disk.trace("tracking-1") is None

    async def test_an_order_that_failed(self, world):
        world.ca.will(rejects)
        await world.individual(authority=OUTSIDE)
        device = world.device()
        answer = await device.outcome(await device.certify())
        assert answer.status is Status.FAILED
        trace = await world.disk.trace("tracking-1")
        assert (trace.rule, trace.asked) == ("ca-refused", Asked.ORDER)
        assert trace.evidence == "The CA said no."

    async def test_on_a_full_disk_it_is_remembered_and_the_device_hears_the_same(self, world, log_lines):
        await world.individual()
        world.open(TroubledStore(world.disk, fails_at=1))
        assert (await refused(world.device())).rule == "csr-not-pem-or-der"
        assert await world.disk.trace("tracking-1") is None
        assert (await world.refusals.traces.find("tracking-1")).rule == "csr-not-pem-or-der"
        assert "trace-not-kept" in [line["event"] for line in log_lines]

    async def test_what_a_front_could_not_read(self, world, log_lines):
        refusal = Malformed("The body is not JSON.", rule="body-not-json")
        told = world.provisioning.unread(
            refusal, registration_id="dev-1", source="192.0.2.7", tracking_id="t-9"
        )
        assert told is refusal
        trace = await world.refusals.traces.find("t-9")
        assert (trace.asked, trace.rule, trace.registration_id) == (Asked.UNREAD, "body-not-json", "dev-1")
        assert (log_lines[-1]["outcome"], log_lines[-1]["rule"]) == ("refused", "body-not-json")

    async def test_too_much_of_that_is_answered_with_when_to_come_back(self, world):
        await world.restart(terms=Terms(failed_proofs_per_minute=60))
        refusal = Malformed("The body is not JSON.", rule="body-not-json")
        for number in range(61):
            told = world.provisioning.unread(
                refusal, registration_id="dev-1", source="192.0.2.7", tracking_id=f"t-{number}"
            )
        assert isinstance(told, Throttled)
        assert told.retry_after_s == 1
        # The trace tells what was wrong, not that the device heard something else.
        assert (await world.refusals.traces.find("t-60")).rule == "body-not-json"

    async def test_a_full_connection_is_not_the_source_s_failure(self, world):
        refusal = Throttled("Too many.", rule="connection-requests", retry_after_s=2)
        assert (
            world.provisioning.unread(refusal, registration_id="d", source="192.0.2.7", tracking_id="t")
            is refusal
        )


class TestPause:
    async def test_a_device_that_never_gets_through_is_paused(self, world, log_lines):
        await world.individual()
        await world.restart(pause_after_failures=3)
        device = world.device()
        for _ in range(3):
            assert (await refused(device)).rule == "csr-not-pem-or-der"
        told = await refused(device)
        assert isinstance(told, Throttled)
        assert (told.rule, told.retry_after_s) == ("device-paused", 300)
        # Also with what would be right: the pause comes first.
        assert isinstance(await refused(device, None), Throttled)
        paused = [line for line in log_lines if line["event"] == "device-paused"]
        assert [(line["registrationId"], line["failures"]) for line in paused] == [("dev-1", 3)]

    async def test_it_is_seen_in_the_listings_though_it_never_registered(self, world):
        await world.individual()
        await world.restart(pause_after_failures=2)
        for _ in range(2):
            await refused(world.device())
        registration = await world.registration()
        assert (registration.status, registration.hub) == (Status.FAILED, None)
        assert registration.error_code == 400004

    async def test_two_that_pause_it_at_once_make_one_registration(self, world):
        await world.individual()
        await world.restart(pause_after_failures=1)
        await asyncio.gather(refused(world.device()), refused(world.device()))
        assert len((await world.disk.registrations(None, None, 9)).rows) == 1
        assert (await world.disk.setbacks(DEVICE)).paused_at is not None
        assert (await world.disk.trace("tracking-1")) is not None

    async def test_it_outlives_a_restart(self, world):
        await world.individual()
        await world.restart(pause_after_failures=2)
        for _ in range(2):
            await refused(world.device())
        await world.restart()
        assert (await refused(world.device(), None)).rule == "device-paused"

    async def test_others_register_meanwhile(self, world):
        await world.group()
        await world.restart(pause_after_failures=1)
        await refused(world.device("a", group=True))
        assert (await refused(world.device("a", group=True), None)).rule == "device-paused"
        assert isinstance(await world.device("b", group=True).register(), Assigned)

    async def test_who_does_not_prove_himself_pauses_nobody(self, world):
        await world.individual()
        await world.restart(pause_after_failures=1)
        thief = world.device()
        thief.master = b"x" * 32
        for _ in range(5):
            assert (await refused(thief)).rule == "sas-signature"
        assert isinstance(await world.device().register(), Assigned)

    async def test_nor_learns_that_a_device_is_paused(self, world):
        await world.individual()
        await world.restart(pause_after_failures=1)
        await refused(world.device())
        thief = world.device()
        thief.master = b"x" * 32
        assert (await refused(thief)).rule == "sas-signature"

    async def test_a_success_between_ends_the_count(self, world):
        await world.individual()
        await world.restart(pause_after_failures=2)
        device = world.device()
        for _ in range(4):
            await refused(device)
            assert isinstance(await device.certify(), Assigned)
        assert await world.disk.setbacks(DEVICE) is None

    async def test_resumed_it_tries_again(self, world):
        await world.individual()
        await world.restart(pause_after_failures=1)
        await refused(world.device())
        await world.disk.commit([EndSetbacks(DEVICE)])
        assert isinstance(await world.device().certify(), Assigned)
        assert (await world.registration()).status is Status.ASSIGNED

    async def test_a_changed_enrollment_resumes_it(self, world):
        enrollment = await world.individual(authority=None)
        await world.restart(pause_after_failures=1)
        device = world.device()
        assert (await refused(device, device.csr())).rule == "csr-not-due"
        assert (await refused(device, device.csr())).rule == "device-paused"
        await world.change(enrollment, authority=(await world.disk.authorities(None, 9)).rows[0].name)
        assert isinstance(await device.certify(), Assigned)

    async def test_the_ca_s_no_counts_and_its_absence_does_not(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(pause_after_failures=2)
        device = world.device()
        world.ca.will(locked_out, rejects, rejects)
        for number in range(3):
            assert (await device.outcome(await device.certify(number))).status is Status.FAILED
        assert (await refused(device, device.csr(3))).rule == "device-paused"

    async def test_an_order_that_comes_through_ends_the_count(self, world):
        await world.individual(authority=OUTSIDE)
        device = world.device()
        world.ca.will(rejects, delivers)
        await device.outcome(await device.certify(0))
        assert (await world.disk.setbacks(DEVICE)).failures == 1
        assert isinstance(await device.outcome(await device.certify(1)), Assigned)
        assert await world.disk.setbacks(DEVICE) is None


class TestQuota:
    async def test_a_full_group_takes_nobody_new(self, world):
        await world.group(settings={"quota": {"maxRegistrations": 2}})
        for name in ("a", "b"):
            await world.device(name, group=True).register()
        told = await refused(world.device("c", group=True), None)
        assert isinstance(told, Refused)
        assert told.rule == "group-full"
        assert (await world.disk.trace("tracking-1")).rule == "group-full"
        assert isinstance(await world.device("a", group=True).register(), Assigned)
        await world.delete_registration("b")
        assert isinstance(await world.device("c", group=True).register(), Assigned)

    async def test_it_outlives_a_restart(self, world):
        await world.group(settings={"quota": {"maxRegistrations": 1}})
        await world.device("a", group=True).register()
        await world.restart()
        assert (await refused(world.device("b", group=True), None)).rule == "group-full"

    async def test_nothing_is_ordered_for_whom_there_is_no_room(self, world):
        await world.group(authority=OUTSIDE, settings={"quota": {"maxRegistrations": 1}})
        world.ca.will(delivers)
        first = world.device("a", group=True)
        await first.outcome(await first.certify(0))
        second = world.device("b", group=True, key=1)
        assert (await refused(second, second.csr())).rule == "group-full"
        assert len(world.ca.orders) == 1

    async def test_who_would_come_at_once_does_not_get_past_it(self, world):
        await world.group(settings={"quota": {"maxRegistrations": 3}})
        devices = [world.device(f"d-{number}", group=True) for number in range(10)]
        outcomes = await asyncio.gather(*(device.register() for device in devices), return_exceptions=True)
        assert sum(isinstance(outcome, Assigned) for outcome in outcomes) == 3
        assert {outcome.rule for outcome in outcomes if isinstance(outcome, AccreditError)} == {"group-full"}


class TestAllowList:
    ONLY = {"allowedRegistrationIdsOnly": True}

    async def test_only_who_stands_on_the_list(self, world):
        await world.group(settings=self.ONLY)
        told = await refused(world.device("a", group=True), None)
        assert (type(told), told.rule) == (Refused, "device-not-allowed")
        await world.disk.commit([AllowRegistrations(GroupId.parse("line"), (RegistrationId.parse("A"),))])
        assert isinstance(await world.device("a", group=True).register(), Assigned)

    async def test_a_wrong_key_does_not_learn_of_the_list(self, world):
        await world.group(settings=self.ONLY)
        thief = world.device("a", group=True)
        thief.master = b"x" * 32
        assert isinstance(await refused(thief, None), Unauthenticated)

    async def test_without_the_member_the_list_is_not_looked_at(self, world):
        await world.group()
        assert isinstance(await world.device("a", group=True).register(), Assigned)

    async def test_a_switched_off_group_says_so_first(self, world):
        await world.group(settings=self.ONLY, enabled=False)
        assert isinstance(await world.device("a", group=True).register(), Assigning)


class TestWhoGetsThrough:
    """What is kept of refused devices costs nobody else a read."""

    async def test_a_good_registration_asks_nothing_about_refusals(self, world):
        await world.group(settings={"quota": {"registrationsPerMinute": 1_000}})
        await world.device("a", group=True).certify()
        statements: list[str] = []
        world.disk._reading.set_trace_callback(statements.append)
        for name in ("a", "b", "c"):
            assert isinstance(await world.device(name, group=True, key=ord(name)).certify(), Assigned)
        world.disk._reading.set_trace_callback(None)
        assert statements
        asked = [text for text in statements for table in REFUSAL_TABLES if table in text]
        assert asked == []

    async def test_while_one_device_has_setbacks_the_others_pay_one_look_up(self, world):
        await world.group()
        await refused(world.device("bad", group=True))
        statements: list[str] = []
        world.disk._reading.set_trace_callback(statements.append)
        assert isinstance(await world.device("good", group=True).register(), Assigned)
        world.disk._reading.set_trace_callback(None)
        asked = [text for text in statements for table in REFUSAL_TABLES if table in text]
        assert len(asked) <= 2
