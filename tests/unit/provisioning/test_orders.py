"""Orders to an outside authority: placed once, joined, superseded, taken over by the next process."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from accredit.domain.credential import CertificateStatus
from accredit.domain.device import BindingState
from accredit.domain.errors import Malformed, NotFound
from accredit.domain.evidence import PresentedChain
from accredit.domain.ids import AuthorityName, DeviceId
from accredit.domain.issuance_log import LeafKind
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Assigned, Assigning, Ended, OperationState, Status, Substatus
from accredit.domain.secret import Secret
from accredit.policy import symmetric_keys
from accredit.provisioning.questions import Provisioning
from support import pki
from support.provisioning_world import (
    OUTSIDE,
    PATIENT_S,
    bridged,
    opened,
    operation_of,
    sha256_of,
    signing_certificates,
)
from support.scripted_ca import (
    at_the_gate,
    deferred,
    delivers,
    loses_the_answer,
    pending,
    rejects,
    then_at_the_gate,
)
from support.troubled_store import MeddledStore
from support.waiting import until


class TestPatience:
    async def test_what_comes_soon_is_answered_at_once(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers)
        answer = await world.device().certify()
        assert isinstance(answer, Assigned)
        assert answer.certified.record.authority == AuthorityName.parse(OUTSIDE)
        assert await world.states() == {sha256_of(answer): BindingState.PENDING}
        assert (await world.registration()).certificate_sha256 == sha256_of(answer)

    @pytest.mark.parametrize("field", ["csr", "clientCertificateCsr", "payload.clientCertificateCsr"])
    async def test_what_takes_longer_is_polled_for(self, world, field):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        device = world.device()
        if field.startswith("payload"):
            answer = await device.register(payload=bridged(device.csr()))
        else:
            answer = await device.register(device.csr(), field)
        assert isinstance(answer, Assigning)
        assert await device.poll(answer) == answer
        assert (await device.poll(answer)).retry_after_s > 0
        world.ca.gate.set()
        done = await device.outcome(answer)
        assert isinstance(done, Assigned)
        assert done.csr_field == field
        assert done.registration.operation_id == answer.operation_id
        assert sha256_of(done) == sha256_of(await device.poll(answer))

    async def test_meanwhile_the_registration_is_assigning(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await world.device().certify()
        state = await world.provisioning.lookup(world.device().request())
        assert (state.status, state.operation_id) == (Status.ASSIGNING, answer.operation_id)
        world.ca.gate.set()
        await world.device().outcome(answer)

    async def test_an_assigned_device_stays_assigned_meanwhile(self, world):
        await world.individual(authority=OUTSIDE)
        before = await world.device().register()
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await world.device().certify()
        assert await world.registration() == before.registration
        world.ca.gate.set()
        assert isinstance(await world.device().outcome(answer), Assigned)

    async def test_nobody_else_may_ask_for_it(self, world):
        await world.individual("dev-1", authority=OUTSIDE)
        await world.individual("dev-2", authority=OUTSIDE)
        world.ca.will(delivers)
        answer = await world.device("dev-1").certify()
        with pytest.raises(NotFound) as refused:
            await world.device("dev-2").poll(answer)
        assert refused.value.rule == "operation-unknown"


class TestChangedAtTheLastMoment:
    """Between the decision and its commit: the ceremony starts over, and nothing is ordered for what is no longer so."""

    async def test_the_enrollment_is_disabled(self, world):
        enrollment = await world.individual(authority=OUTSIDE)
        world.open(MeddledStore(world.disk, lambda: world.change(enrollment, enabled=False)))
        answer = await world.device().certify()
        assert isinstance(answer, Assigning)
        assert (await world.device().poll(answer)).status is Status.DISABLED
        assert world.ca.orders == []

    async def test_the_authority_is_replaced(self, world):
        await world.individual(authority=OUTSIDE)
        world.open(MeddledStore(world.disk, world.authority))
        world.ca.will(delivers)
        answer = await world.device().certify()
        present = await world.disk.authority(AuthorityName.parse(OUTSIDE))
        assert answer.certified.record.authority_version == present.version
        assert len(world.ca.orders) == 1

    async def test_the_registration_is_made_by_another_call(self, world):
        await world.individual(authority=OUTSIDE)
        other = Provisioning(world.means, world.orders)
        world.open(MeddledStore(world.disk, lambda: other.register(world.device().request())))
        world.ca.will(delivers)
        answer = await world.device().certify()
        assert answer.registration.substatus is Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT


class TestJoining:
    async def test_the_same_key_joins_what_is_under_way(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        first = await world.device().certify()
        again = await world.device("DEV-1").certify()
        assert operation_of(again) == operation_of(first)
        world.ca.gate.set()
        assert isinstance(await world.device().outcome(again), Assigned)
        assert len(world.ca.orders) == 1

    async def test_twenty_at_once(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers)
        answers = await asyncio.gather(*(world.device().certify() for _ in range(20)))
        assert len({sha256_of(answer) for answer in answers}) == 1
        assert len(world.ca.orders) == 1

    async def test_after_the_end_the_stored_certificate_serves(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers)
        first, second = await world.device().certify(), await world.device().certify()
        assert sha256_of(first) == sha256_of(second)
        assert len(world.ca.orders) == 1


class TestSuperseding:
    async def test_another_key_supersedes_and_the_older_never_binds(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers), at_the_gate(delivers))
        older = await world.device().certify(0)
        newer = await world.device().certify(1)
        assert operation_of(newer) != operation_of(older)
        ended = await world.device().poll(older)
        assert isinstance(ended, Ended)
        assert (ended.status, ended.operation_id) == (Status.FAILED, operation_of(older))
        assert ended.error_code
        assert ended.error_message
        older_task = world.orders.settled(operation_of(older), PATIENT_S)
        world.ca.gate.set()
        done = await world.device().outcome(newer)
        await older_task
        records = {each.issued.sha256: each for each in await world.certificates()}
        assert len(records) == 2
        assert [each.status for each in records.values()].count(CertificateStatus.UNBOUND) == 1
        assert await world.states() == {sha256_of(done): BindingState.PENDING}
        assert await world.leaves(LeafKind.UNKNOWN) == []
        assert await world.disk.unsettled_operations() == []

    async def test_what_the_ca_has_not_finished_is_collected_later(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.sleep_ends.clear()
        world.ca.will(pending("seven"), delivers)
        older = await world.device().certify(0)
        await until(lambda: world.slept)
        newer = await world.device().certify(1)
        assert isinstance(await world.device().outcome(newer), Assigned)
        settled = asyncio.ensure_future(world.orders.settled(operation_of(older), PATIENT_S))
        world.ca.sign(world.ca.orders[0])
        world.sleep_ends.set()
        assert await settled
        assert len(await world.certificates()) == 2
        assert len(await world.states()) == 1
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_what_nobody_can_find_leaves_an_entry(self, tmp_path):
        async with opened(tmp_path, connector="orders", patience_s=0) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(then_at_the_gate(loses_the_answer), delivers)
            older = await world.device().certify(0)
            await until(lambda: world.ca.orders)
            newer = await world.device().certify(1)
            settled = asyncio.ensure_future(world.orders.settled(operation_of(older), PATIENT_S))
            world.ca.gate.set()
            assert await settled
            await world.device().outcome(newer)
            assert len(await world.leaves(LeafKind.UNKNOWN)) == 1
            assert await world.disk.unsettled_operations() == []
            await world.audit()

    async def test_an_answer_that_comes_too_late_tells_where_to_ask(self, tmp_path):
        async with opened(tmp_path, connector="polls", patience_s=0) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(at_the_gate(pending("seven")), delivers)
            older = await world.device().certify(0)
            await until(lambda: world.ca.orders)
            newer = await world.device().certify(1)
            await world.device().outcome(newer)
            settled = asyncio.ensure_future(world.orders.settled(operation_of(older), PATIENT_S))
            world.ca.sign(world.ca.orders[0])
            world.ca.gate.set()
            assert await settled
            assert len(await world.certificates()) == 2
            assert await world.leaves(LeafKind.UNKNOWN) == []
            await world.audit()

    @pytest.mark.parametrize("step", [rejects, deferred(5)])
    async def test_what_was_not_signed_leaves_none(self, world, step):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(step), delivers)
        older = await world.device().certify(0)
        await until(lambda: world.ca.orders)
        newer = await world.device().certify(1)
        settled = asyncio.ensure_future(world.orders.settled(operation_of(older), PATIENT_S))
        world.ca.gate.set()
        assert await settled
        await world.device().outcome(newer)
        assert await world.leaves(LeafKind.UNKNOWN) == []
        assert await world.disk.unsettled_operations() == []

    async def test_a_restart_between_loses_nothing(self, world):
        """Superseded while the CA was signing, and the process died before its answer came."""
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(then_at_the_gate(delivers), delivers)
        await world.device().certify(0)
        await until(lambda: world.ca.ledger)
        newer = await world.device().certify(1)
        assert isinstance(await world.device().outcome(newer), Assigned)
        unsettled = await world.disk.unsettled_operations()
        assert [each.state for each in unsettled] == [OperationState.SUPERSEDED]
        await world.restart()
        await world.orders.settled(unsettled[0].id, PATIENT_S)
        assert len(await world.certificates()) == 2
        assert len(await world.states()) == 1
        assert await world.disk.unsettled_operations() == []

    async def test_a_stored_certificate_supersedes_the_order_for_another_key(self, world):
        """The device went back to its earlier key: what was ordered for the other must not push that one out."""
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers)
        first = await world.device().certify(0)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        other = await world.device().certify(1)
        back = await world.device().certify(0)
        assert sha256_of(back) == sha256_of(first)
        settled = asyncio.ensure_future(world.orders.settled(operation_of(other), PATIENT_S))
        await until(lambda: len(world.ca.orders) == 2)
        world.ca.gate.set()
        assert await settled
        assert isinstance(await world.device().poll(other), Ended)
        assert await world.states() == {sha256_of(first): BindingState.PENDING}
        assert len(await world.certificates()) == 2

    async def test_a_registration_without_csr_does_not(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await world.device().certify()
        assert isinstance(await world.device().register(), Assigned)
        world.ca.gate.set()
        assert isinstance(await world.device().outcome(answer), Assigned)


class TestOneKey:
    async def test_of_two_devices_at_the_same_instant_one_wins(self, world):
        for name in ("dev-1", "dev-2"):
            await world.individual(name, authority=OUTSIDE)
        world.ca.will(at_the_gate(delivers), at_the_gate(delivers))
        calls = asyncio.gather(
            *(world.device(name).certify() for name in ("dev-1", "dev-2")), return_exceptions=True
        )
        await until(lambda: len(world.ca.orders) == 2)
        world.ca.gate.set()
        outcomes = await calls
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Assigned", "Ended"]
        assert len(await world.certificates()) == 2
        bound = [await world.states(name) for name in ("dev-1", "dev-2")]
        assert sorted(map(len, bound)) == [0, 1]

    async def test_and_later_it_stays_with_the_winner(self, world):
        for name in ("dev-1", "dev-2"):
            await world.individual(name, authority=OUTSIDE)
        world.ca.will(delivers)
        await world.device("dev-1").certify()
        with pytest.raises(Malformed) as refused:
            await world.device("dev-2").certify()
        assert refused.value.rule == "key-of-another-device"


class TestResume:
    """A new process finishes with the proof that stood behind the intent."""

    @pytest.mark.parametrize("spelling", ["Dev-1", "dev-1"])
    async def test_a_groups_device_gets_the_keys_that_proved_it(self, world, spelling):
        await world.group(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(then_at_the_gate(delivers))
        device = world.device("Dev-1", group=True)
        device.spelling = spelling
        answer = await device.certify()
        await until(lambda: world.ca.ledger)
        assert await world.restart() == 1
        assert isinstance(await device.outcome(answer), Assigned)
        stored = await world.disk.hub_device(FIRST_HUB, DeviceId("Dev-1"))
        derived = symmetric_keys.derive(Secret(b"p" * 32), spelling)
        assert stored.keys.primary == derived

    async def test_of_a_device_that_spells_itself_otherwise_than_its_registration(self, world):
        await world.group(authority=OUTSIDE)
        await world.device("DEV-1", group=True).register()
        await world.restart(patience_s=0)
        world.ca.will(then_at_the_gate(delivers))
        device = world.device("Dev-1", group=True)
        answer = await device.certify()
        await until(lambda: world.ca.ledger)
        await world.restart()
        assert isinstance(await device.outcome(answer), Assigned)
        stored = await world.disk.hub_device(FIRST_HUB, DeviceId("DEV-1"))
        assert stored.keys.primary == symmetric_keys.derive(Secret(b"p" * 32), "Dev-1")

    async def test_a_device_with_a_bootstrap_certificate_keeps_its_thumbprint(self, world):
        root = pki.root("Plant")
        await world.group(attestation=signing_certificates(root), authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(then_at_the_gate(delivers))
        shown = PresentedChain(root.issue("dev-1").chain)
        device = world.device()
        answer = await device.register(device.csr(), evidence=shown)
        await until(lambda: world.ca.ledger)
        await world.restart()
        await world.orders.settled(operation_of(answer), PATIENT_S)
        assert isinstance(await device.poll(answer, evidence=shown), Assigned)
        stored = await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1"))
        assert stored.thumbprint == hashlib.sha256(shown.certificates[0]).digest()
        assert stored.keys is None

    async def test_an_individuals_keys(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(then_at_the_gate(delivers))
        answer = await world.device().certify()
        await until(lambda: world.ca.ledger)
        await world.restart()
        assert isinstance(await world.device().outcome(answer), Assigned)
        assert (await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1"))).keys.primary.reveal() == b"p" * 32

    async def test_the_process_before_has_lost_it(self, world):
        """Somebody who still holds an operation that was taken over must not write to it."""
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.sleep_ends.clear()
        world.ca.will(pending())
        answer = await world.device().certify()
        await until(lambda: world.slept)
        earlier = world.orders
        world.open()
        assert await world.orders.resume() == 1
        world.ca.sign(world.ca.orders[0])
        world.sleep_ends.set()
        assert isinstance(await world.device().outcome(answer), Assigned)
        await earlier.settled(operation_of(answer), PATIENT_S)
        await earlier.stop(0)
        assert len(await world.certificates()) == 1
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_who_has_lost_it_orders_nothing(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.sleep_ends.clear()
        world.ca.will(deferred(5), at_the_gate(delivers))
        answer = await world.device().certify()
        await until(lambda: world.slept)
        earlier = world.orders
        world.open()
        await world.orders.resume()
        await until(lambda: len(world.ca.orders) == 2)
        lost = asyncio.ensure_future(earlier.settled(operation_of(answer), PATIENT_S))
        world.sleep_ends.set()
        assert await lost
        world.ca.gate.set()
        assert isinstance(await world.device().outcome(answer), Assigned)
        assert len(world.ca.orders) == 2

    async def test_a_hub_of_another_name_by_then(self, world):
        """The operator started the service with another host name."""
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(then_at_the_gate(delivers))
        answer = await world.device().certify()
        await until(lambda: world.ca.ledger)
        await world.restart(hubs=("new.example",))
        ended = await world.device().outcome(answer)
        assert (ended.status, ended.error_code) == (Status.FAILED, 400004)
        again = await world.device().certify()
        assert again.registration.hub == "new.example"
        assert len(world.ca.ledger) == 1


class TestStop:
    async def test_an_operation_that_waits_is_left_at_once(self, world):
        """Nothing is in hand while the CA is waited for: a stop need not wait for it."""
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.sleep_ends.clear()
        world.ca.will(pending())
        answer = await world.device().certify()
        await until(lambda: world.slept)
        await asyncio.wait_for(world.orders.stop(3_600), PATIENT_S)
        assert (await world.disk.operation(operation_of(answer))).state is OperationState.OPEN
        world.sleep_ends.set()
        world.ca.sign(world.ca.orders[0])
        assert await world.restart() == 1
        assert isinstance(await world.device().outcome(answer), Assigned)

    async def test_a_call_in_hand_is_finished(self, world):
        await world.individual(authority=OUTSIDE)
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await world.device().certify()
        await until(lambda: world.ca.orders)
        stopping = asyncio.ensure_future(world.orders.stop(3_600))
        await asyncio.sleep(0)
        world.ca.gate.set()
        await asyncio.wait_for(stopping, PATIENT_S)
        assert isinstance(await world.device().poll(answer), Assigned)

    async def test_what_comes_after_is_left_to_the_next_start(self, world):
        await world.individual(authority=OUTSIDE)
        await world.orders.stop(0)
        answer = await world.device().certify()
        assert isinstance(answer, Assigning)
        assert world.ca.orders == []
        world.ca.will(delivers)
        await world.restart()
        assert isinstance(await world.device().outcome(answer), Assigned)
