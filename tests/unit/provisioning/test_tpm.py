"""A device with a TPM: challenged, proven, given its hub's key, and refused in every other case."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from accredit.domain.device import BindingState
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef, TpmKeys
from accredit.domain.errors import Malformed, NotFound, Unauthenticated
from accredit.domain.evidence import TpmEndorsement
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Answer, Assigned, Assigning, Challenged, Ended, Request, Status
from accredit.domain.secret import Secret
from accredit.provisioning.tpm import Challenges
from accredit.seal import Sealer
from accredit.wire import sas
from support.provisioning_world import ID_SCOPE, OUTSIDE, PATIENT_S, World, keys, sha256_of
from support.scripted_ca import at_the_gate, delivers, then_at_the_gate
from support.tpm_device import TpmDevice, WrongParcel
from support.waiting import until

EPOCH_S = 300


@dataclass
class Device:
    """A TPM, and what a program beside it says to the service."""

    world: World
    tpm: TpmDevice = field(default_factory=TpmDevice)
    name: str = "dev-1"

    def request(self, token: str | None = None, *csr: tuple[str, str], alone: bool = False) -> Request:
        shown: Any = self.tpm.endorsed(token)
        if alone:
            assert token is not None
            shown = sas.parse(token)
        return self.world.device(self.name).request(*csr, evidence=shown)

    def token(self, expires_in_s: int = 3_600) -> str:
        return self.tpm.token(f"{ID_SCOPE}/registrations/{self.name}", self.world.now + expires_in_s)

    async def challenged(self) -> Challenged:
        told = await self.world.provisioning.challenge(self.request())
        assert isinstance(told, Challenged)
        return told

    async def proves(self) -> str:
        """A token for the challenge that it is sent."""
        self.tpm.take((await self.challenged()).blob)
        return self.token()

    async def register(self, token: str | None = None, *csr: tuple[str, str]) -> Answer:
        token = token or await self.proves()
        return await self.world.provisioning.register(self.request(token, *csr))

    async def certify(self) -> Answer:
        return await self.register(None, ("csr", self.world.device(self.name).csr()))

    async def poll(self, token: str, operation_id: str) -> Answer:
        return await self.world.provisioning.status(self.request(token, alone=True), operation_id)


@pytest.fixture
async def device(world):
    made = Device(world)
    await world.individual(attestation=TpmKeys(made.tpm.endorsement), authority=OUTSIDE)
    return made


async def hub_key(world: World, name: str = "dev-1") -> bytes:
    found = await world.disk.hub_device(FIRST_HUB, DeviceId(name))
    assert found is not None
    assert found.keys is not None
    return found.keys.primary.reveal()


class TestChallenge:
    async def test_the_device_proves_itself_with_what_its_tpm_took_in(self, device):
        answer = await device.register()
        assert isinstance(answer, Assigned)
        assert answer.registration.status is Status.ASSIGNED

    async def test_nothing_is_written_for_who_was_only_challenged(self, world, device):
        await device.challenged()
        assert (await world.disk.registrations(None, None, 9)).rows == []
        assert await world.disk.tpm_proof(RegistrationId.parse("dev-1")) is None

    async def test_another_process_judges_it(self, world, device):
        token = await device.proves()
        await world.restart()
        assert isinstance(await device.register(token), Assigned)

    async def test_any_number_stand_side_by_side(self, world, device):
        first = await device.proves()
        world.clock.advance(EPOCH_S)
        second = await device.proves()
        assert isinstance(await device.register(first), Assigned)
        assert isinstance(await device.register(second), Assigned)

    @pytest.mark.parametrize(("later_s", "stands"), [(0, True), (EPOCH_S, True), (2 * EPOCH_S, False)])
    async def test_it_stands_for_a_few_minutes(self, world, device, later_s, stands):
        token = await device.proves()
        world.clock.advance(later_s)
        if stands:
            assert isinstance(await device.register(token), Assigned)
        else:
            await self.refused(device.register(token), "tpm-signature")

    async def test_every_challenge_is_sealed_anew(self, device):
        assert (await device.challenged()).blob != (await device.challenged()).blob

    async def test_the_token_must_not_be_expired(self, device):
        await device.proves()
        await self.refused(device.register(device.token(-1)), "sas-expired")

    async def test_the_token_must_be_for_this_registration(self, world, device):
        await device.proves()
        elsewhere = device.tpm.token(f"{ID_SCOPE}/registrations/dev-2", world.now + 60)
        await self.refused(device.register(elsewhere), "sas-scope")

    async def test_another_tpm_can_t_open_it(self, device):
        with pytest.raises(WrongParcel):
            TpmDevice(1).take((await device.challenged()).blob)

    async def test_a_key_of_one_s_own_proves_nothing(self, world, device):
        """A stranger that knows id and EK, which are no secrets."""
        forged = sas.make(f"{ID_SCOPE}/registrations/dev-1", b"k" * 32, world.now + 60)
        await self.refused(device.register(forged), "tpm-signature")

    async def test_another_device_s_token(self, world, device):
        other = Device(world, TpmDevice(1), "dev-2")
        await world.individual("dev-2", attestation=TpmKeys(other.tpm.endorsement))
        await other.proves()
        theirs = other.tpm.token(f"{ID_SCOPE}/registrations/dev-1", world.now + 60)
        await self.refused(device.register(theirs), "tpm-signature")

    async def test_the_challenge_of_one_registration_is_not_another_s(self, world, device):
        """One TPM that is enrolled twice has two challenges."""
        again = Device(world, device.tpm, "dev-2")
        await world.individual("dev-2", attestation=TpmKeys(device.tpm.endorsement))
        await again.proves()
        await self.refused(device.register(device.token()), "tpm-signature")

    async def test_the_challenge_of_another_srk(self, device):
        token = await device.proves()
        device.tpm.cleared = 1
        await self.refused(device.register(token), "tpm-signature")

    async def test_a_challenge_under_another_master_key(self, world, device):
        elsewhere = Challenges(ID_SCOPE, Sealer([Secret(b"n" * 32)]).derive, world.entropy)
        shown = device.tpm.endorsed()
        device.tpm.take(elsewhere.blob(RegistrationId.parse("dev-1"), shown, world.now))
        await self.refused(device.register(device.token()), "tpm-signature")

    async def test_only_tpms_are_challenged(self, world):
        with pytest.raises(TypeError):
            await world.provisioning.challenge(world.device().request())

    async def refused(self, call, rule):
        with pytest.raises(Unauthenticated) as refusal:
            await call
        assert refusal.value.rule == rule
        assert refusal.value.message == "Unauthorized"


class TestUnknown:
    """Azure: a TPM that is not enrolled is told by a registration that failed, with 404201."""

    async def test_an_unknown_id(self, world):
        await self.ended(Device(world))

    async def test_another_endorsement_key(self, world, device):
        await self.ended(Device(world, TpmDevice(1)))

    async def test_an_enrollment_that_attests_otherwise(self, world):
        await world.individual()
        await self.ended(Device(world))

    async def test_a_group_is_not_asked(self, world):
        await world.group()
        await self.ended(Device(world))

    async def test_the_operator_reads_which_it_was(self, world, device, caplog):
        refusals = []
        for stranger in (Device(world, name="nobody"), Device(world, TpmDevice(1))):
            with pytest.raises(NotFound) as refusal:
                await world.provisioning.prove(stranger.request(sas.make("x", b"k", 1)))
            refusals.append(refusal.value)
        assert {each.rule for each in refusals} == {"tpm-unknown"}
        assert len({each.message for each in refusals}) == 1
        assert len({each.evidence for each in refusals}) == 2

    async def ended(self, device):
        token = sas.make(f"{ID_SCOPE}/registrations/dev-1", b"k" * 32, device.world.now + 60)
        for told in (
            await device.world.provisioning.challenge(device.request()),
            await device.world.provisioning.register(device.request(token)),
        ):
            assert isinstance(told, Ended)
            assert (told.status, told.error_code, told.device_id) == (Status.FAILED, 404201, None)


class TestWhoIsRefused:
    async def test_an_srk_that_is_the_ek(self, world, device):
        shown = TpmEndorsement(device.tpm.endorsement, device.tpm.endorsement, None)
        with pytest.raises(Malformed) as refusal:
            await world.provisioning.challenge(world.device().request(evidence=shown))
        assert refusal.value.rule == "tpm-keys-equal"

    async def test_a_token_alone_does_not_register(self, world, device):
        """Of a token alone nobody can say which TPM it was made in."""
        token = await device.proves()
        await device.register(token)
        with pytest.raises(Unauthenticated) as refusal:
            await world.provisioning.register(device.request(token, alone=True))
        assert refusal.value.rule == "attestation-mechanism"

    async def test_a_token_alone_before_anything_was_proven(self, device):
        token = await device.proves()
        with pytest.raises(Unauthenticated) as refusal:
            await device.poll(token, "4.x")
        assert refusal.value.rule == "tpm-signature"

    async def test_a_named_tpm_alone_looks_nothing_up(self, world, device):
        with pytest.raises(Unauthenticated) as refusal:
            await world.provisioning.lookup(device.request())
        assert refusal.value.rule == "nothing-shown"

    async def test_a_disabled_device_is_told_at_once(self, world):
        device = Device(world)
        await world.individual(attestation=TpmKeys(device.tpm.endorsement), enabled=False)
        answer = await device.register()
        assert isinstance(answer, Ended)
        assert answer.status is Status.DISABLED

    async def test_a_device_that_lost_its_enrollment_to_another_tpm(self, world, device):
        token = await device.proves()
        answer = await device.register(token)
        enrollment = answer.attested.enrollment
        await world.change(enrollment, attestation=TpmKeys(TpmDevice(1).endorsement))
        with pytest.raises(Unauthenticated):
            await device.poll(token, answer.registration.operation_id)

    async def test_a_device_whose_enrollment_now_has_keys(self, world, device):
        token = await device.proves()
        answer = await device.register(token)
        await world.change(answer.attested.enrollment, attestation=keys("o"))
        with pytest.raises(Unauthenticated):
            await device.poll(token, answer.registration.operation_id)


class TestProve:
    """What a front asks that must answer a proof before anything else, as SASL does."""

    async def test_a_token_for_the_challenge(self, world, device):
        await world.provisioning.prove(device.request(await device.proves()))
        assert (await world.disk.registrations(None, None, 9)).rows == []

    async def test_any_other(self, world, device):
        forged = sas.make(f"{ID_SCOPE}/registrations/dev-1", b"k" * 32, world.now + 60)
        with pytest.raises(Unauthenticated):
            await world.provisioning.prove(device.request(forged))

    async def test_an_old_proof_is_none(self, world, device):
        token = await device.proves()
        await device.register(token)
        world.clock.advance(3 * EPOCH_S)
        with pytest.raises(Unauthenticated):
            await world.provisioning.prove(device.request(token))


class TestHubKey:
    async def test_the_tpm_gets_what_the_hub_has(self, world, device):
        answer = await device.register()
        assert device.tpm.take(answer.tpm_activation).reveal() == await hub_key(world)

    async def test_every_assignment_has_another(self, world, device):
        await device.register()
        first = await hub_key(world)
        answer = await device.register()
        assert await hub_key(world) != first
        assert device.tpm.take(answer.tpm_activation).reveal() == await hub_key(world)

    async def test_neither_is_the_challenge_s(self, world, device):
        await device.proves()
        challenge_key = device.tpm.held
        found = await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1"))
        assert found is None
        await device.register(device.token())
        found = await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1"))
        assert len({challenge_key, found.keys.primary, found.keys.secondary}) == 3

    async def test_a_poll_in_another_process_brings_the_same(self, world, device):
        token = await device.proves()
        answer = await device.register(token)
        await world.restart()
        world.clock.advance(5 * EPOCH_S)
        polled = await device.poll(device.token(), answer.registration.operation_id)
        assert device.tpm.take(polled.tpm_activation).reveal() == await hub_key(world)

    async def test_polls_are_answered_for_a_day(self, world, device):
        answer = await device.register()
        world.clock.advance(86_400 + EPOCH_S)
        with pytest.raises(Unauthenticated):
            await device.poll(device.token(), answer.registration.operation_id)

    async def test_a_look_up_does_not_bring_it(self, world, device):
        token = await device.proves()
        await device.register(token)
        for alone in (True, False):
            state = await world.provisioning.lookup(device.request(token, alone=alone))
            assert state.tpm_activation is None

    async def test_a_tpm_that_was_cleared_registers_with_its_new_srk(self, world, device):
        await device.register()
        device.tpm.cleared = 1
        answer = await device.register()
        assert device.tpm.take(answer.tpm_activation).reveal() == await hub_key(world)


class TestElsewhere:
    """The hub of a TPM device may be another service's."""

    async def test_the_tpm_gets_what_the_hub_was_told(self, world, device):
        far = await world.link("far.example")
        enrollment = await world.disk.enrollment(EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1"))
        await world.change(enrollment, hubs=("far.example",))
        told = set()
        for _ in range(2):
            answer = await device.register()
            assert answer.registration.hub == "far.example"
            key = far.devices["dev-1"].keys.primary
            assert device.tpm.take(answer.tpm_activation) == key
            told.add(key)
        assert len(told) == 2

    async def test_one_that_takes_long_is_polled_for(self, world):
        await world.restart(patience_s=0)
        far = await world.link("far.example")
        device = Device(world)
        await world.individual(attestation=TpmKeys(device.tpm.endorsement), hubs=("far.example",))
        token = await device.proves()
        answer = await device.register(token)
        assert isinstance(answer, Assigning)
        await world.orders.settled(answer.operation_id, PATIENT_S)
        done = await device.poll(token, answer.operation_id)
        assert device.tpm.take(done.tpm_activation) == far.devices["dev-1"].keys.primary


class TestWithACertificate:
    async def test_an_outside_authority_at_once(self, world, device):
        world.ca.will(delivers)
        answer = await device.certify()
        assert await world.states() == {sha256_of(answer): BindingState.PENDING}
        assert device.tpm.take(answer.tpm_activation).reveal() == await hub_key(world)

    async def test_the_built_in_one(self, world):
        device = Device(world)
        await world.individual(attestation=TpmKeys(device.tpm.endorsement))
        answer = await device.certify()
        assert await world.states() == {sha256_of(answer): BindingState.PENDING}
        assert device.tpm.take(answer.tpm_activation).reveal() == await hub_key(world)

    async def test_one_that_takes_long_is_polled_for_in_another_process(self, world, device):
        await world.restart(patience_s=0)
        world.ca.will(then_at_the_gate(delivers))
        token = await device.proves()
        csr = ("csr", world.device().csr())
        answer = await device.register(token, csr)
        assert isinstance(answer, Assigning)
        assert await device.poll(token, answer.operation_id) == answer
        await until(lambda: world.ca.ledger)
        await world.restart()
        await world.orders.settled(answer.operation_id, PATIENT_S)
        done = await device.poll(token, answer.operation_id)
        assert isinstance(done, Assigned)
        assert device.tpm.take(done.tpm_activation).reveal() == await hub_key(world)

    async def test_who_joins_an_open_order_polls_with_the_newer_proof(self, world, device):
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        csr = ("csr", world.device().csr())
        first = await device.register(None, csr)
        world.clock.advance(2 * EPOCH_S - 60)
        device.tpm.cleared = 1
        token = await device.proves()
        second = await device.register(token, csr)
        assert second.operation_id == first.operation_id
        world.clock.advance(2 * EPOCH_S)
        world.ca.gate.set()
        await world.orders.settled(first.operation_id, PATIENT_S)
        done = await device.poll(device.token(), first.operation_id)
        assert isinstance(done, Assigned)
        assert device.tpm.take(done.tpm_activation).reveal() == await hub_key(world)

    async def test_a_registration_that_is_deleted_meanwhile(self, world, device):
        await world.restart(patience_s=0)
        world.ca.will(at_the_gate(delivers))
        answer = await device.certify()
        await asyncio.sleep(0)
        await world.delete_registration("dev-1")
        world.ca.gate.set()
        await world.orders.settled(answer.operation_id, PATIENT_S)
        assert await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1")) is None
        await world.audit()
