"""What each answer of an authority leads to, until the operation has ended."""

from __future__ import annotations

import pytest

from accredit.domain.credential import STRAY, CertificateStatus
from accredit.domain.device import BindingState
from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import DeviceId
from accredit.domain.issuance_log import LeafKind
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Assigned, Ended, OperationState, Status
from accredit.interfaces import Deferred, Delivered, Pending, Unknown
from accredit.values import replace
from accredit.wire.rules import RULES
from support.provisioning_world import OUTSIDE, PATIENT_S, keys, opened, operation_of, sha256_of
from support.scripted_ca import (
    at_the_gate,
    deferred,
    delivers,
    loses_the_answer,
    loses_the_order,
    pending,
    raises,
    rejects,
    signs_and_raises,
    signs_another_name,
)
from support.waiting import until

DEADLINE_S = 300


class TestLater:
    async def test_deferred_is_ordered_again_when_the_ca_says(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(deferred(40), delivers)
        assert isinstance(await world.device().certify(), Assigned)
        assert [order.attempt for order in world.ca.orders] == [1, 2]
        assert world.slept == [40]
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_the_pauses_grow_when_the_ca_names_none(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(*[deferred(0)] * 5, delivers)
        assert isinstance(await world.device().certify(), Assigned)
        assert world.slept == sorted(world.slept)
        assert world.slept[-1] >= 8 * world.slept[0]

    async def test_pending_is_polled(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(pending("seven", 10))
        world.ca.polls += [pending("seven", 20), delivers]
        assert isinstance(await world.device().certify(), Assigned)
        assert len(world.ca.orders) == 1
        assert world.slept == [10, 20]

    async def test_a_handle_may_change(self, world):
        handles = []

        async def poll(ca, order):
            return Pending("eight", 1)

        async def second(ca, order):
            operation = await world.disk.open_operation(order.registration_id)
            handles.append(operation.handle)
            return Delivered(ca.sign(order))

        await world.individual(authority=OUTSIDE)
        world.ca.will(pending("seven", 1))
        world.ca.polls += [poll, second]
        assert isinstance(await world.device().certify(), Assigned)
        assert handles == ["eight"]

    async def test_a_poll_that_shows_the_earlier_certificate_is_not_the_end(self, world):
        """Some CAs are asked by key and name: what they show first may be the one from last time."""
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers, pending("seven", 1))
        first = await world.device().certify()
        world.clock.advance(25 * 86_400)

        async def earlier(ca, order):
            return Delivered(ca.ledger[0][1])

        world.ca.polls += [earlier, earlier, delivers]
        second = await world.device().certify()
        assert sha256_of(second) != sha256_of(first)
        assert len(world.ca.ledger) == 2

    async def test_an_order_that_answers_with_the_earlier_certificate(self, world):
        """A CA that does not sign one CSR twice: what it gives back is bound, and recorded once."""
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers)
        first = await world.device().certify()
        await world.use(first)
        await world.authority()

        async def the_same(ca, order):
            return Delivered(ca.ledger[0][1])

        world.ca.will(the_same)
        second = await world.device().certify()
        assert isinstance(second, Assigned)
        assert sha256_of(second) == sha256_of(first)
        assert len(await world.certificates()) == 1


class TestLostAnswers:
    async def test_found_at_the_ca(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(loses_the_answer)
        answer = await world.device().certify()
        assert sha256_of(answer) == world.ca.ledger[0][1].sha256
        assert len(world.ca.orders) == 1
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_not_found_is_noted_and_ordered_again(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(loses_the_order, delivers)
        answer = await world.device().certify()
        assert isinstance(answer, Assigned)
        (leaf,) = await world.leaves(LeafKind.UNKNOWN)
        assert leaf.sha256 == world.ca.orders[0].request.csr_sha256
        assert leaf.authority.text == OUTSIDE

    async def test_where_nothing_can_be_looked_up(self, tmp_path):
        async with opened(tmp_path, connector="orders") as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(loses_the_answer, loses_the_answer, delivers)
            answer = await world.device().certify()
            assert sha256_of(answer) == world.ca.ledger[2][1].sha256
            assert len(await world.leaves(LeafKind.UNKNOWN)) == 2
            assert len(await world.certificates()) == 1
            await world.audit()

    async def test_several_found_the_newest_is_adopted_and_every_one_is_on_record(self, world):
        async def three_times(ca, order):
            for begins in (-200, -100, 0):
                ca.sign(order, begins=world.now + begins)
            return Unknown("the answer was lost")

        await world.individual(authority=OUTSIDE)
        world.ca.will(three_times)
        answer = await world.device().certify()
        assert sha256_of(answer) == world.ca.ledger[-1][1].sha256
        statuses = {each.issued.sha256: each.status for each in await world.certificates()}
        assert len(statuses) == 3
        assert statuses.pop(sha256_of(answer)) is CertificateStatus.PENDING
        assert set(statuses.values()) == {CertificateStatus.REVOKED}, "the device gets one certificate"

    async def test_what_is_older_than_the_order_is_not_its_own(self, world):
        async def long_ago(ca, order):
            ca.sign(order, begins=world.now - 2 * 3_600)
            return Unknown("the answer was lost")

        await world.individual(authority=OUTSIDE)
        world.ca.will(long_ago, delivers)
        answer = await world.device().certify()
        assert sha256_of(answer) == world.ca.ledger[1][1].sha256
        assert len(await world.leaves(LeafKind.UNKNOWN)) == 1

    async def test_a_backdated_one_is(self, world):
        async def backdated(ca, order):
            ca.sign(order, begins=world.now - 3_600)
            return Unknown("the answer was lost")

        await world.individual(authority=OUTSIDE)
        world.ca.will(backdated)
        answer = await world.device().certify()
        assert sha256_of(answer) == world.ca.ledger[0][1].sha256

    @pytest.mark.parametrize(
        "failure",
        [
            UpstreamUnavailable("down", rule="ca-unavailable", retry_after_s=5),
            UpstreamRejected("no", rule="ca-credentials"),
            RuntimeError("a bug of the connector"),
        ],
    )
    async def test_a_look_up_that_fails_is_tried_again_before_anything_is_ordered(self, world, failure):
        await world.individual(authority=OUTSIDE)
        world.ca.will(loses_the_answer)
        world.ca.finds += [failure, failure]
        answer = await world.device().certify()
        assert sha256_of(answer) == world.ca.ledger[0][1].sha256
        assert len(world.ca.orders) == 1

    @pytest.mark.parametrize(("step", "orders"), [(signs_and_raises, 1), (raises, 2)])
    async def test_a_connector_that_raises_counts_as_a_lost_answer(self, world, step, orders):
        await world.individual(authority=OUTSIDE)
        world.ca.will(*[step, delivers][:orders])
        assert isinstance(await world.device().certify(), Assigned)
        assert len(world.ca.orders) == orders


class TestRejected:
    async def test_the_operation_fails_with_the_reason(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(rejects)
        answer = await world.device().certify()
        assert isinstance(answer, Ended)
        assert (answer.status, answer.error_message) == (Status.FAILED, RULES["ca-refused"].sentence)
        assert answer.error_code
        assert (await world.registration()).status is Status.FAILED
        assert await world.device().poll(answer) == answer
        assert (await world.provisioning.lookup(world.device().request())).status is Status.FAILED

    async def test_what_was_signed_against_the_order_is_on_record_and_never_given_out(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(signs_another_name, signs_another_name)
        assert isinstance(await world.device().certify(), Ended)
        (record,) = await world.certificates()
        assert (record.status, record.profile) == (CertificateStatus.REVOKED, STRAY)
        assert isinstance(await world.device().certify(), Ended)
        assert len(await world.certificates()) == 2
        assert await world.states() == {}

    async def test_a_certificate_of_another_devices_key_does_not_take_that_key_away(self, world):
        """A CA that mixes up two orders must not lock either device out."""

        async def of_the_other(ca, order):
            other = order_of_second[0]
            from accredit.interfaces import Rejected

            return Rejected("wrong key", "ca-wrong-key", ca.sign(other))

        order_of_second = []

        async def remember(ca, order):
            order_of_second.append(order)
            return Deferred("later", 1)

        for name in ("dev-1", "dev-2"):
            await world.individual(name, authority=OUTSIDE)
        world.ca.will(remember, rejects, of_the_other, delivers)
        assert isinstance(await world.device("dev-2", key=1).certify(), Ended)
        assert isinstance(await world.device("dev-1", key=0).certify(), Ended)
        assert len(await world.certificates("dev-1")) == 1
        answer = await world.device("dev-2", key=1).certify()
        assert isinstance(answer, Assigned)
        assert len(await world.certificates("dev-2")) == 1

    async def test_the_earlier_certificate_and_assignment_stay(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers, rejects)
        first = await world.device().certify(0)
        await world.use(first)
        before = await world.registration()
        assert isinstance(await world.device().certify(1), Ended)
        assert await world.registration() == before
        assert await world.states() == {sha256_of(first): BindingState.ACTIVE}
        assert sha256_of(await world.device().certify(0)) == sha256_of(first)

    async def test_the_next_register_orders_again(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(rejects, delivers)
        failed = await world.device().certify()
        answer = await world.device().certify()
        assert isinstance(answer, Assigned)
        assert operation_of(answer) != operation_of(failed)
        assert answer.registration.error_code is None

    async def test_while_the_next_order_is_under_way_it_is_not_failed(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(rejects)
        await world.device().certify()
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await world.device().certify()
        state = await world.provisioning.lookup(world.device().request())
        assert (state.status, state.error_code) == (Status.ASSIGNING, None)
        world.ca.gate.set()
        await world.device().outcome(answer)

    async def test_another_change_of_the_registration_meanwhile_orders_nothing_again(self, world):
        """The answer is in hand: that somebody else wrote the registration must not cost a second order."""
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)

        async def and_the_device_registers(ca, order):
            await world.device().register()
            return await rejects(ca, order)

        world.ca.will(and_the_device_registers)
        answer = await world.device().certify()
        assert isinstance(await world.device().outcome(answer), Ended)
        assert len(world.ca.orders) == 1
        assert await world.leaves(LeafKind.UNKNOWN) == []


class TestSerialNumbers:
    async def test_one_that_the_ca_used_before_is_refused_and_noted(self, world):
        await world.individual("dev-1", authority=OUTSIDE)
        await world.individual("dev-2", authority=OUTSIDE)

        async def repeats_the_serial(ca, order):
            issued = ca.sign(order)
            ca.ledger.pop()
            repeated = replace(issued, serial=ca.ledger[0][1].serial)
            ca.ledger.append((order, repeated))
            return Delivered(repeated)

        world.ca.will(delivers, repeats_the_serial)
        await world.device("dev-1", key=0).certify()
        answer = await world.device("dev-2", key=1).certify()
        assert isinstance(answer, Ended)
        assert answer.status is Status.FAILED
        assert await world.states("dev-2") == {}
        assert len(await world.certificates()) == 1
        assert len(await world.leaves(LeafKind.UNKNOWN)) == 1


class TestDeadline:
    async def test_a_ca_that_never_takes_the_order(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(*[deferred(5)] * 99)
        began = world.now
        answer = await world.device().certify()
        assert isinstance(answer, Ended)
        assert (answer.status, answer.error_code, world.now) == (Status.FAILED, 400037, began + DEADLINE_S)
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_a_ca_that_never_finishes(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(pending())
        began = world.now
        answer = await world.device().certify()
        assert isinstance(answer, Ended)
        assert world.now == began + DEADLINE_S
        assert len(await world.leaves(LeafKind.UNKNOWN)) == 1

    async def test_a_ca_whose_list_cannot_be_read(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(loses_the_answer)
        world.ca.finds += [UpstreamUnavailable("down", rule="ca-unavailable", retry_after_s=5)] * 999
        answer = await world.device().certify()
        assert isinstance(answer, Ended)
        assert len(world.ca.orders) == 1
        assert len(await world.leaves(LeafKind.UNKNOWN)) == 1

    @pytest.mark.parametrize("connector", ["orders", "polls", "finds"])
    async def test_a_connector_that_does_nothing_but_raise(self, tmp_path, connector):
        async with opened(tmp_path, connector=connector) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(*[raises] * 999)
            world.ca.finds += [RuntimeError("a bug")] * 999
            assert isinstance(await world.device().certify(), Ended)
            assert len(await world.leaves(LeafKind.UNKNOWN)) >= 1
            world.ca.surprises.clear()
            await world.audit()

    async def test_a_record_that_no_connector_can_be_made_of(self, world):
        """A bug must not leave a device without an answer for ever."""
        await world.individual(authority=OUTSIDE)
        await world.orders.stop(0)
        answer = await world.device().certify()
        world.broken = True
        await world.restart()
        ended = await world.device().outcome(answer)
        assert ended.status is Status.FAILED
        assert world.now >= ended.created_at + DEADLINE_S
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_a_wait_beyond_the_deadline_is_cut_and_asked_for_once_more(self, world):
        """The CA says: in an hour. At the deadline it is ready by chance."""
        await world.individual(authority=OUTSIDE)
        world.ca.will(pending("seven", 3_600))
        world.ca.polls += [delivers]
        began = world.now
        assert isinstance(await world.device().certify(), Assigned)
        assert world.now == began + DEADLINE_S

    async def test_the_earlier_certificate_and_assignment_stay(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers, *[deferred(5)] * 99)
        first = await world.device().certify(0)
        before = await world.registration()
        assert isinstance(await world.device().certify(1), Ended)
        assert await world.registration() == before
        assert await world.states() == {sha256_of(first): BindingState.PENDING}
        state = await world.provisioning.lookup(world.device().request())
        assert state.registration.status is Status.ASSIGNED

    async def test_what_a_long_stop_has_left_is_looked_up_once(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.sleep_ends.clear()
        world.ca.will(loses_the_answer)
        answer = await world.device().certify()
        await until(lambda: world.slept)
        await world.orders.stop(0)
        world.sleep_ends.set()
        world.clock.advance(3_600)
        await world.restart()
        assert isinstance(await world.device().outcome(answer), Assigned)


class TestChangedMeanwhile:
    """What the decision rested on has changed while the CA signed: its certificate is kept, and bound to nothing."""

    async def begun(self, world, enrollment=None):
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await world.device(group=enrollment == "group").certify()
        await until(lambda: world.ca.orders)
        return answer

    async def ended(self, world, answer):
        """The operation's row once the CA has answered."""
        world.ca.gate.set()
        await world.orders.settled(operation_of(answer), PATIENT_S)
        (record,) = await world.certificates()
        assert record.status is CertificateStatus.UNBOUND
        assert await world.states() == {}
        return await world.disk.operation(operation_of(answer))

    @pytest.mark.parametrize(
        "change", [{"enabled": False}, {"device_id": DeviceId("pump")}, {"iot_edge": True}]
    )
    async def test_the_enrollment(self, world, change):
        enrollment = await world.individual(authority=OUTSIDE)
        answer = await self.begun(world)
        await world.change(enrollment, **change)
        operation = await self.ended(world, answer)
        assert operation.state is OperationState.FAILED
        polled = await world.device().poll(answer)
        assert (polled.status, polled.error_code) == (Status.FAILED, 400004)

    async def test_once_it_is_settled_the_kept_certificate_serves(self, world):
        enrollment = await world.individual(authority=OUTSIDE)
        answer = await self.begun(world)
        await world.change(enrollment, initial_twin={"tags": {}})
        await self.ended(world, answer)
        again = await world.device().certify()
        assert sha256_of(again) == world.ca.ledger[0][1].sha256
        assert len(world.ca.orders) == 1

    async def test_the_enrollment_is_gone(self, world):
        enrollment = await world.individual(authority=OUTSIDE)
        answer = await self.begun(world)
        await world.unenroll(enrollment)
        operation = await self.ended(world, answer)
        assert operation.state is OperationState.SUPERSEDED
        assert (await world.disk.registrations(None, None, 9)).rows == []

    async def test_the_group_is_gone(self, world):
        group = await world.group(authority=OUTSIDE)
        answer = await self.begun(world, "group")
        await world.unenroll(group)
        operation = await self.ended(world, answer)
        assert operation.state is OperationState.FAILED
        assert (await world.registration()).status is Status.FAILED

    async def test_the_authority_was_replaced(self, world):
        await world.individual(authority=OUTSIDE)
        answer = await self.begun(world)
        await world.authority()
        operation = await self.ended(world, answer)
        assert operation.state is OperationState.FAILED
        assert (await world.device().poll(answer)).status is Status.FAILED

    async def test_the_registration_was_deleted(self, world):
        await world.individual(authority=OUTSIDE)
        answer = await self.begun(world)
        await world.delete_registration("dev-1")
        operation = await self.ended(world, answer)
        assert operation.state is OperationState.SUPERSEDED
        assert (await world.disk.registrations(None, None, 9)).rows == []

    async def test_the_registration_was_handed_to_another_group(self, world):
        await world.group(authority=OUTSIDE)
        await world.group("other", attestation=keys("o"))
        answer = await self.begun(world, "group")
        await world.move("dev-1", EnrollmentKind.GROUP, "other")
        operation = await self.ended(world, answer)
        assert operation.state is OperationState.FAILED
        assert (await world.registration()).enrollment.key == "other"

    async def test_the_device_id_was_taken(self, world):
        await world.individual("dev-1", authority=OUTSIDE, device_id=DeviceId("pump"))
        await world.individual("dev-2", device_id=DeviceId("pump"))
        answer = await self.begun(world)
        await world.device("dev-2").register()
        operation = await self.ended(world, answer)
        assert operation.state is OperationState.FAILED
        assert (await world.disk.hub_device(FIRST_HUB, DeviceId("pump"))).registration_id.text == "dev-2"

    @pytest.mark.parametrize("by", ["disabled", "replaced", "gone"])
    async def test_nothing_is_ordered_any_more(self, world, by):
        """It waited to order again when the operator intervened."""
        enrollment = await world.group(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.sleep_ends.clear()
        world.ca.will(deferred(5))
        answer = await world.device(group=True).certify()
        await until(lambda: world.slept)
        if by == "disabled":
            await world.change(enrollment, enabled=False)
        elif by == "gone":
            await world.unenroll(enrollment)
        else:
            await world.authority()
            await world.restart()
        world.sleep_ends.set()
        await world.orders.settled(operation_of(answer), PATIENT_S)
        assert (await world.disk.operation(operation_of(answer))).state is OperationState.FAILED
        assert len(world.ca.orders) == 1
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_a_doubt_is_noted_once(self, world):
        enrollment = await world.individual(authority=OUTSIDE)

        async def then_it_is_disabled(ca, order):
            await world.change(enrollment, enabled=False)
            return Unknown("nobody knows")

        world.ca.will(then_it_is_disabled)
        assert isinstance(await world.device().certify(), Ended)
        assert len(await world.leaves(LeafKind.UNKNOWN)) == 1

    async def test_an_authority_that_was_replaced_while_it_may_have_signed(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.sleep_ends.clear()
        world.ca.will(pending())
        answer = await world.device().certify()
        await until(lambda: world.slept)
        world.ca.sign(world.ca.orders[0])
        await world.authority()
        world.sleep_ends.set()
        await world.restart()
        ended = await world.device().outcome(answer)
        assert isinstance(ended, Ended)
        assert len(await world.leaves(LeafKind.UNKNOWN)) == 1


class TestBeforeTheOrder:
    async def test_a_device_without_a_certificate_registers_meanwhile(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await world.device().certify()
        await world.device().register()
        world.ca.gate.set()
        done = await world.device().outcome(answer)
        assert isinstance(done, Assigned)
        assert done.registration.certificate_sha256 == sha256_of(done)

    async def test_a_taken_device_id_is_told_and_nothing_goes_on_for_ever(self, world):
        await world.individual("dev-1", device_id=DeviceId("pump"))
        await world.individual("dev-2", device_id=DeviceId("pump"), authority=OUTSIDE)
        await world.device("dev-1").register()
        world.ca.will(delivers)
        answer = await world.device("dev-2").certify()
        assert isinstance(answer, Ended)
        assert "device id" in answer.error_message
        assert len(await world.certificates("dev-2")) == 1
