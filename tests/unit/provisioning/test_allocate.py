"""The device id, the hub, and how the assignment came about."""

from __future__ import annotations

import pytest

from accredit.domain.errors import Refused
from accredit.domain.ids import DeviceId
from accredit.domain.registration import Assigned
from support.provisioning_world import (
    opened,
    sha256_of,
)


class TestAllocation:
    @pytest.mark.parametrize(
        ("named", "chosen"),
        [((), "a.example"), (("b.example",), "b.example"), (("b.example", "a.example"), "a.example")],
    )
    async def test_of_the_named_hubs_the_first_that_is_linked(self, tmp_path, named, chosen):
        async with opened(tmp_path, hubs=("a.example", "b.example")) as world:
            await world.individual(hubs=named)
            assert (await world.device().register()).registration.hub == chosen

    async def test_no_hub_is_left(self, world):
        await world.individual(hubs=("elsewhere.example",))
        with pytest.raises(Refused) as refused:
            await world.device().register()
        assert refused.value.rule == "no-hub"

    async def test_the_device_id_of_the_enrollment(self, world):
        await world.individual(device_id=DeviceId("Pump"))
        answer = await world.device().certify()
        assert answer.registration.device_id == DeviceId("Pump")
        assert list(await world.states("Pump")) == [sha256_of(answer)]

    async def test_a_device_id_of_another_registration_is_refused(self, world):
        await world.individual("dev-1", device_id=DeviceId("pump"))
        await world.individual("dev-2", device_id=DeviceId("pump"))
        await world.device("dev-1").register()
        for call in (world.device("dev-2").register(), world.device("dev-2", key=1).certify()):
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.rule == "device-id-taken"
        assert await world.certificates() == []
        assert (await world.disk.hub_device(DeviceId("pump"))).registration_id.text == "dev-1"

    async def test_device_ids_differ_by_case(self, world):
        await world.individual("dev-1", device_id=DeviceId("pump"))
        await world.individual("dev-2", device_id=DeviceId("PUMP"))
        await world.device("dev-1").register()
        assert isinstance(await world.device("dev-2").register(), Assigned)
