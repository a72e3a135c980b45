"""Renewal over a hub: one operation at a time, resumed by its name, replaced on demand; a failed one changes nothing."""

from __future__ import annotations

import pytest

from accredit.domain.device import BindingState
from accredit.domain.errors import Disabled, Malformed, Unauthenticated
from accredit.domain.registration import Assigned
from accredit.domain.renewal import Accepted, Busy, NothingToReplace, NotRenewed, RenewalRequest, Renewed
from accredit.provisioning.renew import Renewals
from support.provisioning_world import OUTSIDE, World, sha256_of
from support.scripted_ca import at_the_gate, delivers, rejects


class Lamp:
    """A device that is connected to its hub with the certificate that it registered for."""

    def __init__(self, world: World, certificate: bytes) -> None:
        self.world = world
        self.certificate = certificate

    @property
    def renewals(self) -> Renewals:
        world = self.world
        return Renewals(world.means, world.orders, world.refusals)

    async def asks(
        self, request_id: str = "1234", replace: str | None = None, *, key: int = 1, csr: str | None = None
    ) -> Accepted | Busy | NothingToReplace:
        text = self.world.device().csr(key) if csr is None else csr
        asked = RenewalRequest(self.certificate, text, request_id, replace, "192.0.2.7", "tracking-1")
        return await self.renewals.begin(asked)

    async def renews(self, request_id: str = "1234", **more) -> Renewed | NotRenewed | None:
        accepted = await self.asks(request_id, **more)
        assert isinstance(accepted, Accepted), accepted
        return await self.renewals.outcome(accepted.operation_id)


async def lamp(world: World, authority: str | None = None, **more) -> tuple[Lamp, Assigned]:
    await world.individual(**({} if authority is None else {"authority": authority}), **more)
    if authority == OUTSIDE:
        world.ca.will(delivers)
    first = await world.device().certify()
    assert isinstance(first, Assigned)
    assert first.certified is not None
    await world.use(first)
    return Lamp(world, first.certified.record.issued.leaf), first


async def ordered(world: World, call):
    """What the call returns, once the CA has its order."""
    world.ca.asked.clear()
    answer = await call
    await world.ca.asked.wait()
    return answer


class TestRenewed:
    @pytest.mark.parametrize("authority", [None, OUTSIDE])
    async def test_both_certificates_stand_until_the_new_one_is_used(self, world, authority):
        device, first = await lamp(world, authority)
        world.ca.will(delivers)
        renewed = await device.renews()
        assert isinstance(renewed, Renewed)
        states = await world.states()
        assert states.pop(sha256_of(first)) is BindingState.ACTIVE
        assert list(states.values()) == [BindingState.PENDING]

    async def test_the_registration_stays_the_one_it_was(self, world):
        device, first = await lamp(world)
        await device.renews()
        now = await world.registration()
        assert (now.operation_id, now.substatus, now.hub) == (
            first.registration.operation_id,
            first.registration.substatus,
            first.registration.hub,
        )

    async def test_twice_in_a_row(self, world):
        device, _ = await lamp(world)
        one, two = await device.renews("1234"), await device.renews("5678", key=2)
        assert isinstance(one, Renewed)
        assert isinstance(two, Renewed)
        assert one.chain != two.chain

    async def test_with_the_same_key_past_the_renewal_point(self, world):
        device, first = await lamp(world)
        world.clock.advance(25 * 86_400)
        renewed = await device.renews(key=0)
        assert isinstance(renewed, Renewed)
        assert renewed.chain[0] != device.certificate


class TestOneAtATime:
    @pytest.fixture
    async def stuck(self, world):
        """A renewal whose CA has not answered yet."""
        device, _ = await lamp(world, OUTSIDE)
        world.ca.will(at_the_gate(delivers), delivers)
        accepted = await ordered(world, device.asks("1234"))
        yield device, accepted, world.ca.gate
        world.ca.gate.set()
        await world.orders.settled(accepted.operation_id, 10)

    async def test_another_one_is_told_of_the_first(self, world, stuck):
        device, accepted, _ = stuck
        busy = await device.asks("5678", key=2)
        assert busy == Busy(accepted.correlation_id, "1234", accepted.expires_at, begun=True)

    async def test_the_same_name_and_key_resume_it(self, world, stuck):
        device, accepted, gate = stuck
        assert await device.asks("1234") == accepted
        gate.set()
        assert isinstance(await device.renewals.outcome(accepted.operation_id), Renewed)
        assert len(world.ca.orders) == 2

    async def test_the_same_name_with_another_key_does_not(self, world, stuck):
        device, _, _ = stuck
        assert isinstance(await device.asks("1234", key=2), Busy)

    @pytest.mark.parametrize("replace", ["*", "1234"])
    async def test_it_is_replaced_on_demand_and_its_certificate_bound_to_nothing(self, world, stuck, replace):
        device, accepted, gate = stuck
        second = await device.asks("5678", replace, key=2)
        assert isinstance(second, Accepted)
        renewed = await device.renewals.outcome(second.operation_id)
        assert isinstance(renewed, Renewed)
        gate.set()
        replaced = await device.renewals.outcome(accepted.operation_id)
        assert isinstance(replaced, NotRenewed)
        assert replaced.superseded
        assert len(await world.states()) == 2

    async def test_what_is_not_under_way_is_not_replaced(self, world, stuck):
        device, _, _ = stuck
        assert await device.asks("5678", "9999", key=2) == NothingToReplace("9999")

    async def test_a_registration_takes_its_place(self, world, stuck):
        device, accepted, gate = stuck
        assert isinstance(await world.device().certify(2), Assigned)
        gate.set()
        ended = await device.renewals.outcome(accepted.operation_id)
        assert isinstance(ended, NotRenewed)
        assert ended.superseded

    async def test_a_registration_that_is_under_way_is_not_joined(self, world):
        device, _ = await lamp(world, OUTSIDE)
        world.ca.will(at_the_gate(delivers))
        await world.restart(patience_s=0)
        assigning = await ordered(world, world.device().certify(1))
        busy = await device.asks("1234", key=1)
        assert isinstance(busy, Busy)
        assert busy.request_id == ""
        world.ca.gate.set()
        assert isinstance(await world.device().outcome(assigning), Assigned)

    async def test_any_may_be_none(self, world):
        device, _ = await lamp(world)
        assert isinstance(await device.renews("1234", replace="*"), Renewed)
        assert await device.asks("5678", "1234") == NothingToReplace("1234")


class TestLostConnection:
    async def test_what_is_under_way_outlives_the_process(self, world):
        device, _ = await lamp(world, OUTSIDE)
        world.ca.will(at_the_gate(delivers), delivers)
        accepted = await ordered(world, device.asks())
        world.ca.gate.set()
        await world.restart()
        assert await device.renewals.waiting(device.certificate) == accepted
        assert isinstance(await device.renewals.outcome(accepted.operation_id), Renewed)

    async def test_a_certificate_that_is_ready_waits_until_it_is_used(self, world):
        device, _ = await lamp(world)
        assert await device.renewals.waiting(device.certificate) is None
        accepted = await device.asks()
        await device.renewals.outcome(accepted.operation_id)
        assert await device.renewals.waiting(device.certificate) == accepted
        assert await device.asks() == accepted
        second = await world.device().certify(1)
        await world.use(second)
        assert await device.renewals.waiting(device.certificate) is None

    async def test_a_failure_is_told_for_as_long_as_it_could_have_lasted(self, world):
        device, _ = await lamp(world, OUTSIDE)
        world.ca.will(rejects)
        accepted = await device.asks()
        assert isinstance(await device.renewals.outcome(accepted.operation_id), NotRenewed)
        assert await device.renewals.waiting(device.certificate) == accepted
        world.clock.advance(301)
        assert await device.renewals.waiting(device.certificate) is None

    async def test_a_stranger_has_nothing_waiting(self, world):
        device, _ = await lamp(world)
        assert await device.renewals.waiting(b"no certificate") is None

    async def test_an_operation_that_is_forgotten(self, world):
        device, _ = await lamp(world)
        assert await device.renewals.outcome("4.0.none") is None


class TestNotRenewed:
    async def test_a_ca_that_refuses_leaves_the_device_as_it_was(self, world):
        device, first = await lamp(world, OUTSIDE)
        before = await world.registration()
        world.ca.will(rejects)
        assert isinstance(await device.renews(), NotRenewed)
        assert await world.registration() == before
        assert await world.states() == {sha256_of(first): BindingState.ACTIVE}

    async def test_after_a_failure_the_same_name_is_a_new_request(self, world):
        device, _ = await lamp(world, OUTSIDE)
        world.ca.will(rejects, delivers)
        assert isinstance(await device.renews(), NotRenewed)
        assert isinstance(await device.renews(), Renewed)

    async def test_a_csr_that_does_not_pass_is_refused_at_once(self, world):
        device, _ = await lamp(world)
        with pytest.raises(Malformed) as refusal:
            await device.asks(csr=world.device().csr(1, name="another"))
        assert refusal.value.rule == "csr-names-another-device"
        assert await world.disk.open_operation((await world.registration()).registration_id) is None

    async def test_a_certificate_of_no_one(self, world):
        device, _ = await lamp(world)
        device.certificate = b"no certificate"
        with pytest.raises(Unauthenticated):
            await device.asks()

    async def test_a_switched_off_enrollment(self, world):
        enrollment = await world.individual()
        first = await world.device().certify()
        await world.change(enrollment, enabled=False)
        with pytest.raises(Disabled):
            await Lamp(world, first.certified.record.issued.leaf).asks()
