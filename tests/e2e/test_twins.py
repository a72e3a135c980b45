"""Twins as stock device SDKs use them over MQTT, beside the registry that the stock service SDK calls."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device.exceptions import ClientError

from accredit.domain.access import Realm
from support.device_key import DeviceKey
from support.enrolling import issuing, symmetric_individual
from support.node_client import NodeClient, NodeError
from support.raw_device import DpsDevice
from support.running_service import RunningService, needs_port_443
from support.sdk_device import MQTT, PATIENCE_S, WEBSOCKET, Transport, hub_connection, x509

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")


@pytest.fixture
def lamp(service: RunningService, tmp_path: Path) -> tuple[DeviceKey, Path]:
    """A device with a certificate, and its file."""
    name = f"twin-{tmp_path.name.replace('_', '-')[:40]}"
    key = DeviceKey(name, tmp_path)
    secret = symmetric_individual(service, name, **issuing())
    with DpsDevice(service, name, key=secret) as device:
        return key, key.write(
            device.registers(clientCertificateCsr=key.csr()).state["issuedClientCertificate"]
        )


def twin(service: RunningService, device_id: str, change: Any = None) -> dict[str, Any]:
    """As the registry has it, or after this change of its desired properties."""
    hub = service.client(Realm.HUB)
    if change is None:
        return hub.call("GET", f"/twins/{device_id}").json()
    body = {"properties": {"desired": change}}
    return hub.call("PATCH", f"/twins/{device_id}", body, headers={"if-match": "*"}).json()


@pytest.mark.parametrize("transport", [MQTT, WEBSOCKET], ids=["mqtt", "websocket"])
async def test_python(service: RunningService, lamp: tuple[DeviceKey, Path], transport: Transport) -> None:
    key, certificate = lamp
    name = key.registration_id
    twin(service, name, {"colour": "red"})
    async with hub_connection(service, name, transport, certificate=x509(certificate, key.file)) as client:
        changes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        # The SDK calls it in a thread of its own.
        client.on_twin_desired_properties_patch_received = partial(
            loop.call_soon_threadsafe, changes.put_nowait
        )
        read = await asyncio.wait_for(client.get_twin(), PATIENCE_S)
        assert read["desired"]["colour"] == "red"
        assert read["desired"]["$version"] == 2
        window = read["desired"]["certificateRenewal"]
        assert window["windowOpens"] <= window["renewAt"] <= window["windowCloses"]
        assert read["reported"] == {"$version": 1}
        await asyncio.wait_for(client.patch_twin_reported_properties({"lit": True, "n": 5}), PATIENCE_S)
        await asyncio.wait_for(client.patch_twin_reported_properties({"n": None}), PATIENCE_S)
        twin(service, name, {"colour": None, "level": 3})
        while (heard := await asyncio.wait_for(changes.get(), PATIENCE_S))["$version"] < 3:
            continue
        assert heard == {"colour": None, "level": 3, "$version": 3}
        refused = client.patch_twin_reported_properties({"a.b": 1})
        with pytest.raises(ClientError) as failed:
            await asyncio.wait_for(refused, PATIENCE_S)
        assert "400" in str(failed.value.__cause__)
    shown = twin(service, name)["properties"]["reported"]
    assert (shown["lit"], shown["$version"], "n" in shown) == (True, 3, False)


@pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws"])
def test_node(
    service: RunningService, node_device: NodeClient, lamp: tuple[DeviceKey, Path], transport: str
) -> None:
    needs_port_443(service)
    key, certificate = lamp
    name = key.registration_id
    twin(service, name, {"colour": "red"})
    proof = {"certificate": certificate.read_text(), "privateKey": key.file.read_text()}
    read = node_device.call("openTwin", transport=transport, hub=service.host, deviceId=name, **proof)
    assert read["desired"]["colour"] == "red"
    assert "renewAt" in read["desired"]["certificateRenewal"]
    node_device.call("report", deviceId=name, properties={"lit": True})
    twin(service, name, {"level": 3})
    assert node_device.call("desired", deviceId=name, version=3)["level"] == 3
    with pytest.raises(NodeError):
        node_device.call("report", deviceId=name, properties={"a.b": 1})
    node_device.call("closeTwin", deviceId=name)
    assert twin(service, name)["properties"]["reported"]["lit"] is True
