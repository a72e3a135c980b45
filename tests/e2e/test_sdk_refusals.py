"""What the stock SDK makes of a refusal, of a repetition, and of a second connection; its synchronous client too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from azure.iot.device import exceptions

from support import sdk_device
from support.device_key import DeviceKey, authority, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual
from support.running_service import RunningService
from support.sdk_device import MQTT, WEBSOCKET, Transport

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")

WRONG_KEY = "d3JvbmcgYnV0IGxvbmcgZW5vdWdoIGZvciBhIGtleQ=="

over_each_transport = pytest.mark.parametrize("transport", [MQTT, WEBSOCKET], ids=["mqtt", "websocket"])


def enrolled(service: RunningService, registration_id: str, **members: Any) -> str:
    """The key of an enrollment that issues certificates."""
    return symmetric_individual(service, registration_id, **issuing(), **members)


class TestRefusals:
    @over_each_transport
    async def test_a_wrong_key_is_told_as_azure_tells_it(
        self, service: RunningService, name: str, transport: Transport
    ) -> None:
        enrolled(service, name)
        with pytest.raises(exceptions.ClientError) as raised:
            await sdk_device.register(service, name, transport, key=WRONG_KEY)
        # `az iot` and others look for this text.
        told = "register request returned a service error status code 401"
        assert told in str(raised.value.__cause__)
        assert service.logs("registration", registrationId=name)["rule"] == "sas-signature"

    async def test_a_key_of_another_device_of_the_group_is_refused(
        self, service: RunningService, name: str
    ) -> None:
        master = symmetric_group(service, f"line-of-{name}")
        with pytest.raises(exceptions.ClientError) as raised:
            await sdk_device.register(service, name, key=derived_key(master, "another"))
        assert "status code 401" in str(raised.value.__cause__)

    async def test_a_certificate_of_a_stranger_is_refused(
        self, service: RunningService, key: DeviceKey
    ) -> None:
        chain = key.issued_by(authority("Stranger")).pem
        shown = sdk_device.x509(key.write(chain), key.file)
        with pytest.raises(exceptions.ClientError) as raised:
            await sdk_device.register(service, key.registration_id, certificate=shown)
        assert "status code 401" in str(raised.value.__cause__)

    @over_each_transport
    async def test_a_wrong_id_scope_is_a_wrong_credential(
        self, service: RunningService, name: str, transport: Transport
    ) -> None:
        secret = enrolled(service, name)
        with pytest.raises(exceptions.CredentialError):
            await sdk_device.register(service, name, transport, key=secret, id_scope="0ne00000000")

    async def test_the_hub_takes_no_wrong_key(self, service: RunningService, name: str) -> None:
        secret = enrolled(service, name)
        await sdk_device.register(service, name, key=secret)
        with pytest.raises(exceptions.CredentialError):
            async with sdk_device.hub_connection(service, name, key=WRONG_KEY):
                pass
        async with sdk_device.hub_connection(service, name, key=secret):
            pass


class TestAgain:
    @over_each_transport
    async def test_the_same_csr_gets_the_same_certificate(
        self, service: RunningService, key: DeviceKey, transport: Transport
    ) -> None:
        secret = enrolled(service, key.registration_id)
        csr = key.csr()
        answers = [
            await sdk_device.register(service, key.registration_id, transport, key=secret, csr=csr)
            for _ in range(3)
        ]
        assert len({sdk_device.issued_chain(answer) for answer in answers}) == 1
        assert len(service.certificates(key.registration_id)) == 1
        assert [answer.registration_state.sub_status for answer in answers] == [
            "initialAssignment",
            "reprovisionedToInitialAssignment",
            "reprovisionedToInitialAssignment",
        ]

    async def test_a_second_connection_takes_the_place_of_the_first(
        self, service: RunningService, name: str
    ) -> None:
        secret = enrolled(service, name)
        await sdk_device.register(service, name, key=secret)
        async with sdk_device.hub_connection(service, name, key=secret) as first:
            gone = asyncio.Event()
            loop = asyncio.get_running_loop()
            first.on_connection_state_change = lambda: loop.call_soon_threadsafe(gone.set)
            first.on_background_exception = lambda _: None
            async with sdk_device.hub_connection(service, name, WEBSOCKET, key=secret) as second:
                await asyncio.wait_for(gone.wait(), sdk_device.PATIENCE_S)
                assert not first.connected
                await sdk_device.send(second)
                assert second.connected
        assert len(service.telemetry(name)) == 10


class TestTheSynchronousClient:
    """It waits for ever where an answer lacks a field that it formats."""

    @over_each_transport
    def test_registers_and_sends(self, service: RunningService, key: DeviceKey, transport: Transport) -> None:
        secret = enrolled(service, key.registration_id)
        result = sdk_device.register_blocking(
            service, key.registration_id, transport, key=secret, csr=key.csr()
        )
        assert result.status == "assigned"
        assert str(result)
        certificate = sdk_device.x509(key.write(sdk_device.issued_chain(result)), key.file)
        hub = sdk_device.blocking_hub_client(
            service, key.registration_id, transport=transport, certificate=certificate
        )
        sdk_device.within(sdk_device.PATIENCE_S, hub.connect)
        for message in sdk_device.messages(3):
            sdk_device.within(sdk_device.PATIENCE_S, lambda message=message: hub.send_message(message))
        sdk_device.within(sdk_device.PATIENCE_S, hub.shutdown)
        assert [row["body"]["number"] for row in service.telemetry(key.registration_id)] == [0, 1, 2]

    def test_is_told_of_a_wrong_key(self, service: RunningService, name: str) -> None:
        enrolled(service, name)
        with pytest.raises(exceptions.ClientError) as raised:
            sdk_device.register_blocking(service, name, key=WRONG_KEY)
        assert "status code 401" in str(raised.value.__cause__)

    def test_registers_without_a_certificate(self, service: RunningService, name: str) -> None:
        secret = enrolled(service, name)
        result = sdk_device.register_blocking(service, name, key=secret)
        assert (result.status, result.registration_state.response_payload) == ("assigned", "null")
