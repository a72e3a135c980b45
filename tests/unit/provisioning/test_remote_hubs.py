"""A device at hubs elsewhere: told, told again, moved with its data, and removed from where it was."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from accredit.domain.changes import DeleteLinkedHub, SaveRegistration
from accredit.domain.credential import Presented
from accredit.domain.device import DeviceData
from accredit.domain.enrollment import Enrollment, EnrollmentKind, ReprovisionPolicy, TpmKeys
from accredit.domain.errors import Malformed, NotFound
from accredit.domain.evidence import Attested, PresentedChain, ProvenTpm
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import (
    Allocated,
    Assigned,
    Assigning,
    DataFate,
    Ended,
    Issued,
    Status,
    Substatus,
)
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey, TpmProof
from accredit.policy import tpm_challenge
from accredit.provisioning.bind import identity
from accredit.values import replace
from support import pki
from support.provisioning_world import (
    BUILTIN,
    HUB,
    KEYS,
    OUTSIDE,
    World,
    leaf_certificates,
    opened,
    sha256_of,
)
from support.scripted_ca import delivers
from support.scripted_hub import broken, forever, refusing, unavailable
from support.troubled_store import MeddledStore
from support.waiting import until

FAR, FARTHER = "far.example", "farther.example"
TWIN = {"tags": {"n": 1}, "properties": {"desired": {"d": 1}}}
RESET = ReprovisionPolicy(migrate_device_data=False)


@pytest.fixture
async def far(world):
    return await world.link(FAR)


async def moved_to(world: World, enrollment, hub: str, **more):
    """The operator names another hub; the device registers again, and what follows is done."""
    await world.change(enrollment, hubs=(hub,), **more)
    answer = await world.device().outcome(await world.device().register())
    await released(world)
    return answer


async def released(world: World) -> None:
    """Until nothing is left in the outbox."""
    while await world.disk.releases(1):
        await asyncio.sleep(0)


class TestTold:
    async def test_keys_and_initial_twin(self, world, far):
        await world.individual(hubs=(FAR,), initial_twin=TWIN, iot_edge=True)
        answer = await world.device().register()
        assert isinstance(answer, Assigned)
        assert (answer.registration.hub, answer.registration.substatus) == (FAR, Substatus.INITIAL_ASSIGNMENT)
        told = far.devices["dev-1"]
        assert (told.keys.primary, told.keys.secondary) == (KEYS.primary, KEYS.secondary)
        assert told.thumbprints == ()
        assert told.data == DeviceData({"n": 1}, {"d": 1}, iot_edge=True)
        assert await world.disk.hub_device(FIRST_HUB, DeviceId("dev-1")) is None

    async def test_the_thumbprint_of_the_certificate_that_proved_it(self, world, far):
        certificate = pki.root("dev-1")
        await world.individual(hubs=(FAR,), attestation=leaf_certificates(certificate))
        await world.device().register(evidence=PresentedChain((certificate.der,)))
        assert far.devices["dev-1"].thumbprints == (hashlib.sha256(certificate.der).digest(),)
        assert far.devices["dev-1"].keys is None

    @pytest.mark.parametrize("authority", [BUILTIN, OUTSIDE])
    async def test_the_newest_certificate_and_the_one_before(self, world, far, authority):
        await world.individual(hubs=(FAR,), authority=authority)
        world.ca.will(*[delivers] * 3)
        made = [sha256_of(await world.device(key=number).certify()) for number in (1, 2, 3)]
        assert far.devices["dev-1"].thumbprints == (made[2], made[1])
        assert far.devices["dev-1"].keys is None
        await world.device().register()
        assert far.devices["dev-1"].thumbprints == (made[2], made[1])
        assert sha256_of(await world.device(key=2).certify()) == made[1]
        assert far.devices["dev-1"].thumbprints[0] == made[1]

    async def test_again_its_data_stays(self, world, far):
        await world.individual(hubs=(FAR,), initial_twin=TWIN)
        await world.device().register()
        kept = DeviceData({"n": 2}, {}, iot_edge=False)
        far.devices["dev-1"] = type(far.devices["dev-1"])(DeviceId("dev-1"), None, (), kept)
        answer = await world.device().register()
        assert answer.registration.substatus is Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT
        assert far.devices["dev-1"].data == kept

    async def test_reset_at_the_same_hub(self, world, far):
        await world.individual(hubs=(FAR,), initial_twin=TWIN, reprovision=RESET)
        await world.device().register()
        far.devices["dev-1"] = type(far.devices["dev-1"])(DeviceId("dev-1"), None, (), DeviceData({"n": 2}))
        answer = await world.device().register()
        assert answer.registration.substatus is Substatus.DEVICE_DATA_RESET
        assert far.devices["dev-1"].data.tags == {"n": 1}

    async def test_what_a_csr_gets_wrong_is_said_before_it_is_told(self, world, far):
        await world.individual(hubs=(FAR,), authority=BUILTIN)
        with pytest.raises(Malformed):
            await world.device().register(world.device().csr(name="another"))
        assert far.calls == []


def test_a_tpm_device_has_the_key_that_its_operation_made() -> None:
    secret = Secret(b"h" * 32)
    proof = ProvenTpm(TpmKey(b"ek"), TpmProof(TpmKey(b"srk"), 0), secret)
    by = Enrollment(RegistrationId.parse("dev-1"), TpmKeys(TpmKey(b"ek")), "g", "e", 0, 0)
    attested = Attested(RegistrationId.parse("dev-1"), by, proof)
    allocated = Allocated(
        attested, attested.registration_id, None, DeviceId("dev-1"), None, FAR, Substatus.INITIAL_ASSIGNMENT,
        DataFate.INITIAL,
    )  # fmt: skip
    told = identity(Issued(allocated, "operation-1", Presented()), [], None, 0)
    assert told.keys == tpm_challenge.hub_keys(secret, "operation-1")
    assert told.thumbprints == ()


class TestMoved:
    CASES = [
        pytest.param(here, there, id=f"{here}-to-{there}")
        for here, there in [(HUB, FAR), (FAR, HUB), (FAR, FARTHER), ("b.example", HUB)]
    ]

    async def data_at(self, world: World, hub: str) -> DeviceData | None:
        if hub in world.elsewhere:
            told = world.elsewhere[hub].devices.get("dev-1")
            return None if told is None else told.data
        found = await world.disk.hub_device(FIRST_HUB if hub == HUB else hub, DeviceId("dev-1"))
        return None if found is None else found.data

    async def set_at(self, world: World, hub: str) -> None:
        """Somebody changes the twin: the initial one is that no more."""
        if hub in world.elsewhere:
            told = world.elsewhere[hub].devices["dev-1"]
            changed = DeviceData({"n": 2}, {"d": 2}, iot_edge=True)
            world.elsewhere[hub].devices["dev-1"] = type(told)(
                told.device_id, told.keys, told.thumbprints, changed
            )

    @pytest.mark.parametrize(("here", "there"), CASES)
    @pytest.mark.parametrize("resets", [False, True], ids=["migrate", "reset"])
    async def test_with_its_data_or_without(self, tmp_path, here, there, resets):
        async with opened(tmp_path, hubs=(HUB, "b.example")) as world:
            await world.link(FAR)
            await world.link(FARTHER)
            policy = ReprovisionPolicy(migrate_device_data=not resets)
            by = await world.individual(hubs=(here,), initial_twin=TWIN, iot_edge=True, reprovision=policy)
            await world.device().register()
            await self.set_at(world, here)
            had = await self.data_at(world, here)
            answer = await moved_to(world, by, there, initial_twin={"tags": {"n": 9}}, iot_edge=False)
            assert isinstance(answer, Assigned)
            assert answer.registration.hub == there
            assert await self.data_at(world, here) is None
            if resets:
                assert answer.registration.substatus is Substatus.DEVICE_DATA_RESET
                assert await self.data_at(world, there) == DeviceData({"n": 9})
            else:
                assert answer.registration.substatus is Substatus.DEVICE_DATA_MIGRATED
                assert await self.data_at(world, there) == had
            await world.audit()

    async def test_its_certificates_go_along(self, world, far):
        by = await world.individual(hubs=(HUB,), authority=BUILTIN)
        made = sha256_of(await world.device().certify())
        await moved_to(world, by, FAR)
        assert far.devices["dev-1"].thumbprints == (made,)

    async def test_never_stays(self, world, far):
        by = await world.individual(hubs=(FAR,), reprovision=ReprovisionPolicy(update_hub_assignment=False))
        await world.device().register()
        answer = await moved_to(world, by, HUB)
        assert answer.registration.hub == FAR

    async def test_where_the_old_hub_knows_it_no_more_it_starts_anew(self, world, far):
        by = await world.individual(hubs=(FAR,), initial_twin=TWIN)
        await world.device().register()
        far.devices.clear()
        await world.link(FARTHER)
        await moved_to(world, by, FARTHER)
        assert world.elsewhere[FARTHER].devices["dev-1"].data == DeviceData({"n": 1}, {"d": 1})

    async def test_an_old_hub_that_can_t_be_reached_holds_up_the_release_alone(self, world, far):
        by = await world.individual(hubs=(FAR,), reprovision=RESET)
        await world.device().register()
        far.before += [unavailable, unavailable]
        answer = await moved_to(world, by, HUB)
        assert isinstance(answer, Assigned)
        assert far.calls[1:] == ["delete dev-1"] * 3
        assert far.devices == {}

    async def test_a_device_that_has_come_back_is_not_removed(self, world, far):
        by = await world.individual(hubs=(FAR,), reprovision=RESET)
        await world.device().register()
        world.sleep_ends.clear()
        far.before.append(unavailable)
        await world.change(by, hubs=(HUB,))
        await world.device().register()
        await until(lambda: world.slept)
        await world.change(by, hubs=(FAR,))
        await world.device().register()
        world.sleep_ends.set()
        await released(world)
        assert "dev-1" in far.devices


class TestFaults:
    async def test_a_hub_that_can_t_answer_is_asked_again(self, world, far):
        await world.individual(hubs=(FAR,))
        far.before += [unavailable, unavailable]
        assert isinstance(await world.device().register(), Assigned)
        assert far.calls == ["put dev-1"] * 3
        assert world.slept[0] >= 7

    async def test_until_the_operation_s_time_is_over(self, world, far, log_lines):
        await world.individual(hubs=(FAR,))
        far.before += [unavailable] * 500
        answer = await world.device().register()
        assert isinstance(answer, Ended)
        assert (await world.registration()).status is Status.FAILED
        assert "hub-timeout" in [line.get("rule") for line in log_lines]

    async def test_a_hub_that_refuses_us(self, world, far):
        await world.individual(hubs=(FAR,))
        far.before.append(refusing)
        answer = await world.device().register()
        assert (answer.status, answer.error_code) == (Status.FAILED, 400209)

    async def test_one_that_was_told_for_nothing_is_told_to_forget(self, world, far):
        by = await world.individual(hubs=(FAR,))

        async def meanwhile():
            await world.change(by, initial_twin=TWIN)

        far.after.append(meanwhile)
        assert isinstance(await world.device().register(), Ended)
        await released(world)
        assert far.calls == ["put dev-1", "delete dev-1"]
        assert far.devices == {}

    async def test_a_defect_of_a_connector_does_not_keep_the_device_for_ever(self, world, far):
        await world.individual(hubs=(FAR,))
        far.before += [broken] * 500
        assert isinstance(await world.device().register(), Ended)

    async def test_a_hub_that_was_unlinked_meanwhile(self, world, far):
        await world.individual(settings={"allocationRule": [{"hub": FAR}]})

        async def unlinked():
            (hub,) = [each for each in await world.means.hubs.linked() if each.name == FAR]
            await world.disk.commit([DeleteLinkedHub(hub)])
            await unavailable()

        far.before.append(unlinked)
        answer = await world.device().register()
        assert isinstance(answer, Ended)
        assert "changed meanwhile" in answer.error_message

    async def test_what_was_changed_between_the_call_and_the_commit_is_read_again(self, world, far):
        await world.individual(hubs=(FAR,))
        await world.device().register()

        async def moved_over():
            await world.move("dev-1", EnrollmentKind.INDIVIDUAL, "dev-1")

        await world.reopen(MeddledStore(world.disk, moved_over, at=3))
        assert isinstance(await world.device().register(), Assigned)
        assert far.calls == ["put dev-1"] * 2

    @pytest.mark.parametrize("first", [True, False])
    async def test_a_device_that_was_revoked_meanwhile_is_at_no_hub(self, world, far, first):
        await world.individual(hubs=(FAR,))
        if not first:
            await world.device().register()

        async def revoked():
            registration = await world.registration()
            ended = replace(registration, status=Status.DISABLED, etag=world.etag())
            await world.disk.commit([SaveRegistration(ended, registration.etag)])

        far.after.append(revoked)
        assert isinstance(await world.device().register(), Ended)
        await released(world)
        assert far.devices == {}

    async def test_a_registration_that_was_deleted_meanwhile_is_told_to_be_forgotten(self, world, far):
        await world.individual(hubs=(FAR,))

        async def deleted():
            await world.delete_registration("dev-1")

        far.after.append(deleted)
        with pytest.raises(NotFound):
            await world.device().register()
        while await world.disk.unsettled_operations():
            await asyncio.sleep(0)
        await released(world)
        assert far.devices == {}

    async def test_a_superseded_one_speaks_no_more_and_its_word_is_not_the_last(self, tmp_path):
        async with opened(tmp_path, patience_s=0) as world:
            far = await world.link(FAR)
            await world.individual(hubs=(FAR,), authority=BUILTIN)
            far.before.append(forever)
            first = await world.device(key=1).certify()
            assert isinstance(first, Assigning)
            await until(lambda: far.calls)
            second = await world.device(key=2).certify()
            await world.restart()
            answer = await world.device(key=2).outcome(second)
            assert isinstance(answer, Assigned)
            assert far.devices["dev-1"].thumbprints[0] == sha256_of(answer)
            assert (await world.device().poll(first)).error_code == 409001
            for left in await world.disk.unsettled_operations():
                await world.orders.settled(left.id, 60)
            await released(world)
            assert await world.disk.unsettled_operations() == []
            assert "dev-1" in far.devices
            await world.audit()
