"""What every `interfaces.RemoteHub` must do, held against the registry API of an embedded hub over real HTTPS."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from accredit.domain.changes import DeleteHubDevice, SaveTwin
from accredit.domain.device import DeviceData, HubDevice, HubIdentity
from accredit.domain.errors import UpstreamRejected
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.secret import Secret
from accredit.interfaces import RemoteHub
from accredit.linked_hubs.azure import AzureHub
from accredit.values import replace
from support.hub_world import HubWorld, hub_world
from support.remote_hub import RIGHTS, calling, embedded_api, linked

LAMP = DeviceId("lamp-1")
KEYS = DeviceKeys(Secret(b"p" * 32), Secret(b"s" * 32))
NEW, OLD = b"n" * 32, b"o" * 32
DATA = DeviceData({"floor": 5}, {"on": True, "deep": {"x": [1, None]}}, iot_edge=True)


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[HubWorld]:
    world = await hub_world(tmp_path)
    yield world
    await world.store.close()


@pytest.fixture
async def hub(world: HubWorld) -> AsyncIterator[AzureHub]:
    async with embedded_api(world) as where, calling(where, world.clock) as made:
        yield made


async def stored(world: HubWorld) -> HubDevice | None:
    return await world.store.hub_device(FIRST_HUB, LAMP)


class TestPut:
    async def test_a_device_with_keys(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), DATA))
        device = await stored(world)
        assert (device.keys, device.thumbprint, device.enabled) == (KEYS, None, True)
        assert device.data == DATA

    async def test_a_device_with_thumbprints(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, None, (NEW, OLD), None))
        device = await stored(world)
        assert (device.keys, device.thumbprint, device.secondary_thumbprint) == (None, NEW, OLD)
        assert device.data == DeviceData()

    async def test_twice_is_as_once(self, world: HubWorld, hub: RemoteHub) -> None:
        identity = HubIdentity(LAMP, KEYS, (), DATA)
        await hub.put(identity)
        before = await stored(world)
        await hub.put(identity)
        after = await stored(world)
        assert after.data == before.data
        assert (after.keys, after.generation_id) == (before.keys, before.generation_id)

    async def test_credentials_are_replaced(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), DATA))
        await hub.put(HubIdentity(LAMP, KEYS, (OLD,), None))
        await hub.put(HubIdentity(LAMP, KEYS, (NEW, OLD), None))
        device = await stored(world)
        assert (device.keys, device.thumbprint, device.secondary_thumbprint) == (None, NEW, OLD)
        await hub.put(HubIdentity(LAMP, KEYS, (), None))
        assert ((await stored(world)).keys, (await stored(world)).thumbprint) == (KEYS, None)

    async def test_without_data_the_twin_stays(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), DATA))
        await hub.put(HubIdentity(LAMP, None, (NEW,), None))
        assert (await stored(world)).data == DATA

    async def test_data_takes_the_place_of_what_was_there(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), DATA))
        await hub.put(HubIdentity(LAMP, KEYS, (), DeviceData({"other": 1})))
        assert (await stored(world)).data == DeviceData({"other": 1})

    async def test_what_the_hub_s_own_operator_keeps_stays(self, world: HubWorld, hub: RemoteHub) -> None:
        await world.enroll(LAMP, enabled=False, registration_id=None)
        await hub.put(HubIdentity(LAMP, KEYS, (), None))
        device = await stored(world)
        assert (device.enabled, device.keys) == (False, KEYS)


class TestData:
    async def test_what_the_hub_holds(self, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), DATA))
        assert await hub.data(LAMP) == DATA

    async def test_as_it_was_changed_there(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), DATA))
        device = await stored(world)
        versions = device.twin.after(desired=True, now=world.now)
        changed = DeviceData({"a": 1}, {})
        await world.store.commit([SaveTwin(FIRST_HUB, LAMP, changed, versions, device.twin.etag)])
        assert await hub.data(LAMP) == replace(changed, iot_edge=True)

    async def test_of_a_device_that_is_not_there(self, hub: RemoteHub) -> None:
        assert await hub.data(LAMP) is None


class TestDelete:
    async def test_twice_is_as_once(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), None))
        for _ in range(2):
            await hub.delete(LAMP)
            assert await stored(world) is None

    async def test_others_stay(self, world: HubWorld, hub: RemoteHub) -> None:
        await hub.put(HubIdentity(LAMP, KEYS, (), None))
        await hub.delete(DeviceId("Lamp-1"))
        assert await stored(world) is not None
        await world.store.commit([DeleteHubDevice(FIRST_HUB, LAMP, (await stored(world)).etag)])
        await hub.put(HubIdentity(LAMP, KEYS, (), None))
        assert await stored(world) is not None


class TestAccess:
    async def test_a_policy_with_all_three_rights_will_do(self, hub: AzureHub) -> None:
        await hub.probe()

    @pytest.mark.parametrize("missing", ["RegistryRead", "RegistryWrite", "ServiceConnect"])
    async def test_a_missing_right_is_named(self, world: HubWorld, missing: str) -> None:
        async with embedded_api(world) as where:
            key = await world.policy("less", *(right for right in RIGHTS if right.value != missing))
            port = int(where.connection_string.reveal().split(b";")[0].rpartition(b":")[2])
            async with calling(linked(port, key, "less"), world.clock) as hub:
                with pytest.raises(UpstreamRejected) as refused:
                    await hub.probe()
        assert refused.value.rule == "hub-refused"
        assert missing in refused.value.hint

    async def test_a_key_that_was_rotated(self, world: HubWorld) -> None:
        async with embedded_api(world) as where:
            port = int(where.connection_string.reveal().split(b";")[0].rpartition(b":")[2])
            async with calling(linked(port, Secret(b"old key")), world.clock) as hub:
                for call in (hub.probe(), hub.put(HubIdentity(LAMP, KEYS, (), None)), hub.data(LAMP)):
                    with pytest.raises(UpstreamRejected) as refused:
                        await call
                    assert refused.value.rule == "hub-refused"
                    assert "old key" not in str(vars(refused.value))

    async def test_a_token_is_made_anew_before_it_ends(self, world: HubWorld, hub: AzureHub) -> None:
        for _ in range(6):
            await hub.probe()
            world.clock.advance(1_000)
