"""What a device is answered at once, whatever its wire."""

from __future__ import annotations

import pytest

from accredit.domain.device import BindingState
from accredit.domain.errors import NotFound, Unauthenticated
from accredit.domain.ids import DeviceId
from accredit.domain.registration import Assigned, Assigning, Status, Substatus
from support.provisioning_world import (
    HUB,
    sha256_of,
)


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
        device = await world.disk.hub_device(DeviceId("dev-1"))
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
