"""What a device is answered at once, whatever its wire."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest

from accredit.domain.changes import SaveRegistration
from accredit.domain.device import BindingState
from accredit.domain.errors import Malformed, NotFound, Unauthenticated, UpstreamUnavailable
from accredit.domain.evidence import NothingShown
from accredit.domain.ids import AuthorityName, DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Assigned, Assigning, Status, Substatus
from accredit.interfaces import StoreUnavailable
from accredit.provisioning.complete import ROUNDS
from accredit.values import replace
from support.provisioning_world import HUB, OUTSIDE, sha256_of
from support.scripted_ca import delivers, rejects
from support.troubled_store import MeddledStore, TroubledStore


class TestTrustBundle:
    async def test_told_with_every_answer(self, world):
        bundle = await world.trust_bundle("roots", b"a root")
        await world.individual(settings={"trustBundleId": "ROOTS"})
        device = world.device()
        registered, certified = await device.register(), await device.certify()
        polled = await device.poll(certified.registration.operation_id)
        looked_up = await world.provisioning.lookup(device.request())
        assert [each.trust_bundle for each in (registered, certified, polled, looked_up)] == [bundle] * 4

    async def test_told_when_an_order_has_ended(self, world):
        bundle = await world.trust_bundle("roots", b"a root")
        await world.authority()
        await world.individual(authority=OUTSIDE, settings={"trustBundleId": "roots"})
        world.ca.will(delivers)
        assert (await world.device().certify()).trust_bundle == bundle

    async def test_as_it_is_now(self, world):
        await world.trust_bundle("roots", b"a root")
        await world.group(settings={"trustBundleId": "roots"})
        device = world.device(group=True)
        await device.register()
        renewed = await world.trust_bundle("roots", b"another root")
        assert (await device.register()).trust_bundle == renewed

    async def test_none_where_none_is_named(self, world):
        await world.trust_bundle("roots", b"a root")
        await world.individual()
        assert (await world.device().register()).trust_bundle is None


class TestWithoutCsr:
    async def test_assigned_at_once(self, world):
        await world.individual()
        answer = await world.device().register()
        assert isinstance(answer, Assigned)
        registration = answer.registration
        assert (registration.status, registration.substatus) == (
            Status.ASSIGNED,
            Substatus.INITIAL_ASSIGNMENT,
        )
        assert (registration.hub, registration.device_id) == (HUB, DeviceId("dev-1"))
        assert answer.certified is None
        assert await world.registration() == registration
        assert await world.certificates() == []

    async def test_its_keys_open_the_hub(self, world):
        await world.individual()
        await world.device().register()
        device = await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1"))
        assert device.keys.primary.reveal() == b"p" * 32
        assert device.keys.secondary.reveal() == b"s" * 32

    async def test_issued_certificates_stay_bound(self, world):
        await world.individual()
        device = world.device()
        certified = await device.certify()
        await world.use(certified)
        later = await device.register()
        assert later.certified is None
        assert later.registration.certificate_sha256 is None
        assert await world.states() == {sha256_of(certified): BindingState.ACTIVE}

    async def test_again_keeps_when_it_was_created_and_changes_the_etag(self, world):
        await world.individual()
        first = (await world.device().register()).registration
        world.clock.advance(60)
        second = (await world.device().register()).registration
        assert second.created_at == first.created_at
        assert second.updated_at == first.updated_at + 60
        assert second.etag != first.etag
        assert second.operation_id != first.operation_id


class TestDisabled:
    async def test_assigning_first_then_disabled(self, world):
        await world.individual(enabled=False)
        device = world.device()
        answer = await device.certify()
        assert isinstance(answer, Assigning)
        assert answer.retry_after_s > 0
        polled = await device.poll(answer)
        assert (polled.status, polled.operation_id) == (Status.DISABLED, answer.operation_id)
        assert polled.registration_id.text == "dev-1"
        assert await world.certificates() == []
        assert (await world.disk.registrations(None, None, 9)).rows == []

    async def test_an_assigned_device_that_is_switched_off(self, world):
        enrollment = await world.individual()
        first = await world.device().register()
        await world.change(enrollment, enabled=False)
        polled = await world.device().poll(await world.device().register())
        assert polled.status is Status.DISABLED
        assert polled.created_at == first.registration.created_at
        assert (await world.registration()).status is Status.ASSIGNED

    async def test_enabled_between(self, world):
        enrollment = await world.individual(enabled=False)
        answer = await world.device().register()
        await world.change(enrollment, enabled=True)
        with pytest.raises(NotFound) as refused:
            await world.device().poll(answer)
        assert refused.value.rule == "operation-unknown"
        assert isinstance(await world.device().register(), Assigned)

    async def test_a_wrong_key_learns_nothing(self, world):
        await world.individual(enabled=False)
        thief = world.device()
        thief.master = b"x" * 32
        with pytest.raises(Unauthenticated):
            await thief.register()


class TestManyAtOnce:
    async def test_twenty_calls_of_one_device(self, world):
        await world.individual()
        answers = await asyncio.gather(*(world.device().certify() for _ in range(20)))
        assert len({sha256_of(answer) for answer in answers}) == 1
        assert len(await world.certificates()) == 1
        assert len(await world.states()) == 1
        assert await world.registration() in [answer.registration for answer in answers]
        assert len({answer.registration.etag for answer in answers}) == 20

    async def test_of_a_device_with_and_without_csr(self, world):
        await world.group()
        calls = [world.device(group=True).certify(), world.device(group=True).register()]
        certified, bare = await asyncio.gather(*calls)
        assert await world.registration() in (certified.registration, bare.registration)
        assert len(await world.states()) == 1

    async def test_with_different_keys(self, world):
        """Two pending certificates are good at most; each device was told of one that is on record."""
        await world.individual()
        answers = await asyncio.gather(*(world.device().certify(key) for key in range(5)))
        listed = {record.issued.sha256 for record in await world.certificates()}
        assert listed == {sha256_of(answer) for answer in answers}
        states = list((await world.states()).values())
        assert states.count(BindingState.PENDING) == 2

    async def test_different_devices(self, world):
        await world.group()
        names = [f"dev-{number}" for number in range(20)]
        devices = [world.device(name, group=True, key=number) for number, name in enumerate(names)]
        answers = await asyncio.gather(*(device.certify() for device in devices))
        assert len({sha256_of(answer) for answer in answers}) == 20

    async def test_a_registration_that_never_comes_to_rest_is_given_up(self, world):
        """Somebody else writes it again and again: the device is told to come back, and nothing of it stands."""

        class Restless(TroubledStore):
            async def commit(self, unit):
                await self._store.commit(
                    [SaveRegistration(await changed(), (await world.registration()).etag)]
                )
                await super().commit(unit)

        async def changed():
            return replace(await world.registration(), etag=world.etag())

        await world.individual()
        await world.device().register()
        store = Restless(world.disk)
        world.open(store)
        with pytest.raises(UpstreamUnavailable) as refused:
            await world.device().certify()
        assert refused.value.rule == "busy"
        assert store.commits == ROUNDS
        assert await world.certificates() == []


class TestChangedAtTheLastMoment:
    """Between the decision and its commit: the ceremony starts over, and tells what is so then."""

    async def test_the_enrollment_is_disabled(self, world):
        enrollment = await world.individual()
        world.open(MeddledStore(world.disk, lambda: world.change(enrollment, enabled=False)))
        answer = await world.device().certify()
        assert isinstance(answer, Assigning)
        assert await world.certificates() == []
        assert (await world.disk.registrations(None, None, 9)).rows == []

    async def test_the_enrollment_is_deleted(self, world):
        enrollment = await world.individual()
        world.open(MeddledStore(world.disk, lambda: world.unenroll(enrollment)))
        with pytest.raises(Unauthenticated):
            await world.device().certify()
        assert await world.certificates() == []

    async def test_the_authority_is_replaced(self, world):
        await world.individual()
        world.open(MeddledStore(world.disk, world.replace_builtin))
        answer = await world.device().certify()
        present = await world.disk.authority(AuthorityName.parse("builtin"))
        assert answer.certified.record.authority_version == present.version
        assert len(await world.certificates()) == 1


class TestSerialNumbers:
    async def test_one_that_is_taken_is_not_used_again(self, world):
        """The randomness repeats itself: the ceremony starts over with another number."""
        await world.individual("dev-1")
        await world.individual("dev-2")
        await world.device("dev-1", key=0).certify()
        world.entropy = Repeating(world.entropy)
        world.open()
        (taken,) = await world.certificates()
        world.entropy.once = taken.issued.serial.to_bytes(16, "big")
        answer = await world.device("dev-2", key=1).certify()
        assert world.entropy.once is None, "the number was offered"
        assert answer.certified.record.issued.serial != taken.issued.serial


class TestStatus:
    async def test_of_a_registration_that_was_answered_at_once(self, world):
        await world.individual()
        device = world.device()
        answer = await device.register(device.csr(), "clientCertificateCsr")
        polled = await device.poll(answer)
        assert polled.registration == answer.registration
        assert sha256_of(polled) == sha256_of(answer)
        assert polled.csr_field == "clientCertificateCsr"
        assert not polled.certified.fresh

    async def test_an_operation_of_nobody(self, world):
        await world.individual()
        await world.device().register()
        with pytest.raises(NotFound) as refused:
            await world.device().poll("4.0000000000000000.nothing")
        assert refused.value.rule == "operation-unknown"

    async def test_an_earlier_operation_is_forgotten_once_a_later_one_stands(self, world):
        await world.individual()
        first = await world.device().register()
        await world.device().register()
        with pytest.raises(NotFound):
            await world.device().poll(first)

    async def test_of_another_device(self, world):
        await world.individual("dev-1")
        await world.individual("dev-2")
        answer = await world.device("dev-1").register()
        with pytest.raises(NotFound):
            await world.device("dev-2").poll(answer)

    async def test_needs_the_proof_again(self, world):
        await world.individual()
        answer = await world.device().register()
        with pytest.raises(Unauthenticated):
            await world.device().poll(answer, evidence=NothingShown())

    async def test_after_the_registration_was_deleted(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(delivers)
        answer = await world.device().certify()
        await world.delete_registration("dev-1")
        with pytest.raises(NotFound) as refused:
            await world.device().poll(answer)
        assert refused.value.rule == "registration-unknown"


class TestLookup:
    async def test_without_certificates(self, world):
        await world.individual()
        answer = await world.device().certify()
        state = await world.provisioning.lookup(world.device().request())
        assert isinstance(state, Assigned)
        assert state.registration == answer.registration
        assert state.certified is None

    async def test_nothing_yet(self, world):
        await world.individual()
        with pytest.raises(NotFound) as refused:
            await world.provisioning.lookup(world.device().request())
        assert refused.value.rule == "registration-unknown"

    async def test_a_csr_has_no_place_in_it(self, world):
        await world.individual()
        device = world.device()
        with pytest.raises(Malformed) as refused:
            await world.provisioning.lookup(device.request(("csr", device.csr())))
        assert refused.value.rule == "csr-not-due"

    async def test_needs_proof(self, world):
        await world.individual()
        await world.device().register()
        with pytest.raises(Unauthenticated):
            await world.provisioning.lookup(world.device().request(evidence=NothingShown()))


class TestStoreUnavailable:
    async def test_every_question_is_told_to_come_back(self, world):
        await world.individual()
        answer = await world.device().register()
        device = world.device()

        class Unreadable(TroubledStore):
            async def registration(self, registration_id):
                raise StoreUnavailable("disk I/O error")

        world.open(Unreadable(world.disk))
        for call in (device.register(), device.poll(answer), world.provisioning.lookup(device.request())):
            with pytest.raises(UpstreamUnavailable) as refused:
                await call
            assert (refused.value.rule, refused.value.retry_after_s) == ("store-unavailable", 5)


class TestLogLines:
    async def test_one_for_each_register_call(self, world, log_lines):
        await world.individual()
        await world.device().certify()
        (line,) = [line for line in log_lines if line["event"] == "registration"]
        assert (line["outcome"], line["registrationId"], line["trackingId"]) == (
            "assigned",
            "dev-1",
            "tracking-1",
        )
        assert line["fresh"] is True
        assert int(line["certificate"], 16) == (await world.certificates())[0].issued.serial

    async def test_a_refusal_has_its_rule_and_what_was_seen(self, world, log_lines):
        with pytest.raises(Unauthenticated):
            await world.device().register()
        (line,) = [line for line in log_lines if line["event"] == "registration"]
        assert (line["outcome"], line["rule"]) == ("refused", "sas-signature")
        assert line["evidence"]

    async def test_an_outside_ca_has_one_too(self, world, log_lines):
        await world.individual(authority=OUTSIDE)
        world.ca.will(rejects)
        await world.device().certify()
        (line,) = [line for line in log_lines if line["event"] == "registration"]
        assert (line["outcome"], line["rule"], line["trackingId"]) == ("failed", "ca-refused", "tracking-1")

    async def test_no_key_is_in_any(self, world, log_lines):
        await world.group()
        await world.device(group=True).certify()
        thief = world.device(group=True)
        thief.master = b"x" * 32
        with pytest.raises(Unauthenticated):
            await thief.register()
        assert "pppp" not in str(log_lines)
        assert b64encode(b"p" * 32).decode() not in str(log_lines)


class Repeating:
    """Entropy that says `once` the next time somebody asks for as many bytes."""

    def __init__(self, entropy):
        self._entropy = entropy
        self.once = None

    def token(self, size):
        if self.once is not None and len(self.once) == size:
            once, self.once = self.once, None
            return once
        return self._entropy.token(size)
