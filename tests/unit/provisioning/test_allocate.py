"""The device id, the hub, and how the assignment came about."""

from __future__ import annotations

import pytest

from accredit.domain.enrollment import ReprovisionPolicy
from accredit.domain.errors import Refused
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.registration import Assigned, Ended, Status, Substatus
from support.provisioning_world import OUTSIDE, opened, sha256_of
from support.scripted_ca import delivers, rejects


class TestAllocation:
    @pytest.mark.parametrize(
        ("policy", "named", "chosen"),
        [
            ("static", ("b.example",), "b.example"),
            ("hashed", ("b.example",), "b.example"),
            ("static", ("b.example", "a.example"), "b.example"),
        ],
    )
    async def test_by_policy_among_the_named_hubs(self, tmp_path, policy, named, chosen):
        async with opened(tmp_path, hubs=("a.example", "b.example")) as world:
            await world.individual(hubs=named, allocation_policy=policy)
            assert (await world.device().register()).registration.hub == chosen

    async def test_no_hub_is_left(self, world, log_lines):
        await world.individual(hubs=("elsewhere.example",))
        answer = await world.device().register()
        assert isinstance(answer, Ended)
        assert (answer.status, answer.error_code) == (Status.FAILED, 400208)
        assert [line["rule"] for line in log_lines if line.get("outcome") == "refused"] == ["no-hub"]

    async def test_no_hub_is_left_for_a_device_that_was_assigned_once(self, world):
        by = await world.individual()
        await world.device().register()
        await world.change(by, hubs=("elsewhere.example",))
        answer = await world.device().certify()
        assert isinstance(answer, Ended)
        assert (await world.registration()).status is Status.ASSIGNED
        assert await world.certificates() == []

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
        assert (await world.disk.hub_device(FIRST_HUB, DeviceId("pump"))).registration_id.text == "dev-1"

    async def test_device_ids_differ_by_case(self, world):
        await world.individual("dev-1", device_id=DeviceId("pump"))
        await world.individual("dev-2", device_id=DeviceId("PUMP"))
        await world.device("dev-1").register()
        assert isinstance(await world.device("dev-2").register(), Assigned)


class TestReprovisioning:
    """Azure: docs *concepts-device-reprovision*. `moved`: another hub is chosen than last time."""

    @pytest.mark.parametrize(
        ("policy", "moved", "hub", "substatus"),
        [
            (
                ReprovisionPolicy(True, True),
                False,
                "a.example",
                Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT,
            ),
            (ReprovisionPolicy(True, True), True, "b.example", Substatus.DEVICE_DATA_MIGRATED),
            (ReprovisionPolicy(True, False), False, "a.example", Substatus.DEVICE_DATA_RESET),
            (ReprovisionPolicy(True, False), True, "b.example", Substatus.DEVICE_DATA_RESET),
            (
                ReprovisionPolicy(False, True),
                False,
                "a.example",
                Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT,
            ),
            (
                ReprovisionPolicy(False, True),
                True,
                "a.example",
                Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT,
            ),
            (
                ReprovisionPolicy(False, False),
                True,
                "a.example",
                Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT,
            ),
        ],
    )
    async def test_of_a_device_that_was_assigned(self, tmp_path, policy, moved, hub, substatus):
        async with opened(tmp_path, hubs=("a.example", "b.example")) as world:
            enrollment = await world.individual(hubs=("a.example",), reprovision=policy)
            assert (await world.device().register()).registration.substatus is Substatus.INITIAL_ASSIGNMENT
            if moved:
                await world.change(enrollment, hubs=("b.example",))
            again = (await world.device().register()).registration
            assert (again.hub, again.substatus) == (hub, substatus)

    @pytest.mark.parametrize("policy", [ReprovisionPolicy(True, True), ReprovisionPolicy(False, False)])
    async def test_a_hub_that_is_no_longer_linked_counts_as_none(self, tmp_path, policy):
        async with opened(tmp_path, hubs=("a.example",)) as world:
            await world.individual(reprovision=policy)
            await world.device().register()
            await world.restart(hubs=("b.example",))
            again = (await world.device().register()).registration
            assert (again.hub, again.substatus) == ("b.example", Substatus.INITIAL_ASSIGNMENT)

    async def test_of_a_device_that_only_failed(self, world):
        await world.individual(authority=OUTSIDE)
        world.ca.will(rejects)
        await world.device().certify()
        assert (await world.device().register()).registration.substatus is Substatus.INITIAL_ASSIGNMENT

    async def test_after_the_registration_was_deleted(self, world):
        await world.individual()
        await world.device().register()
        await world.delete_registration("dev-1")
        assert (await world.device().register()).registration.substatus is Substatus.INITIAL_ASSIGNMENT

    async def test_the_operation_of_an_outside_ca_carries_it(self, world):
        await world.individual(authority=OUTSIDE)
        await world.device().register()
        world.ca.will(delivers)
        answer = await world.device().certify()
        assert answer.registration.substatus is Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT
