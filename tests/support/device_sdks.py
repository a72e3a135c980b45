"""The device SDKs that run here, each behind the same two calls: provision, then send telemetry on the same wire.

What they are given and what they tell is put into one form; nothing of the SDKs is replaced.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from azure.iot.device import Message

from support import sdk_device
from support.needs_amqp import amqp_engine
from support.node_client import NodeClient, node_version
from support.running_service import RunningService
from support.sdk_device import Transport


@dataclass(frozen=True)
class Proof:
    """A symmetric key (base64), or a certificate with its chain and key."""

    key: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None


@dataclass(frozen=True)
class Assigned:
    """What the SDK told the device's program; `payload` is the answer's, decoded."""

    status: str
    hub: str
    device_id: str
    substatus: str
    payload: Any


@dataclass(frozen=True)
class Telemetry:
    """One message, its body JSON."""

    body: Any
    message_id: str
    correlation_id: str
    properties: dict[str, str]


class DeviceSdk(Protocol):
    async def register(self, registration_id: str, proof: Proof, payload: Any = None) -> Assigned: ...

    async def send(self, hub: str, device_id: str, proof: Proof, messages: list[Telemetry]) -> None:
        """Connect, send all, and wait until the hub has acknowledged each. Raises what the SDK raises."""


@dataclass(frozen=True)
class PythonSdk:
    """azure-iot-device."""

    service: RunningService
    transport: Transport

    async def register(self, registration_id: str, proof: Proof, payload: Any = None) -> Assigned:
        client = sdk_device.provisioning_client(
            self.service, registration_id, self.transport, **_python_proof(proof)
        )
        if payload is not None:
            client.provisioning_payload = payload
        result = await sdk_device.run_registration(client)
        state = result.registration_state
        return Assigned(
            result.status,
            state.assigned_hub,
            state.device_id,
            state.sub_status,
            json.loads(state.response_payload),
        )

    async def send(self, hub: str, device_id: str, proof: Proof, messages: list[Telemetry]) -> None:
        assert hub == self.service.host
        async with sdk_device.hub_connection(
            self.service, device_id, self.transport, **_python_proof(proof)
        ) as client:
            sending = (client.send_message(_python_message(each)) for each in messages)
            await asyncio.wait_for(asyncio.gather(*sending), sdk_device.PATIENCE_S)


def _python_proof(proof: Proof) -> dict[str, Any]:
    if proof.certificate is None or proof.private_key is None:
        return {"key": proof.key}
    return {"certificate": sdk_device.x509(proof.certificate, proof.private_key)}


def _python_message(telemetry: Telemetry) -> Message:
    message = Message(json.dumps(telemetry.body))
    message.message_id = telemetry.message_id
    message.correlation_id = telemetry.correlation_id
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.custom_properties.update(telemetry.properties)
    return message


@dataclass(frozen=True)
class NodeSdk:
    """azure-iot-provisioning-device and azure-iot-device; `transport` as tests/node/roles/device.js names it."""

    node: NodeClient
    transport: str

    async def register(self, registration_id: str, proof: Proof, payload: Any = None) -> Assigned:
        service = self.node.service
        given = {} if payload is None else {"payload": payload}
        state = await self._call(
            "register", proof,
            host=service.host, idScope=service.id_scope, registrationId=registration_id, **given,
        )  # fmt: skip
        return Assigned(
            state["status"],
            state["assignedHub"],
            state["deviceId"],
            state["substatus"],
            state.get("payload"),
        )

    async def send(self, hub: str, device_id: str, proof: Proof, messages: list[Telemetry]) -> None:
        acknowledged = await self._call(
            "send", proof, hub=hub, deviceId=device_id, messages=[_node_message(each) for each in messages]
        )
        assert acknowledged == len(messages)

    async def _call(self, name: str, proof: Proof, **given: Any) -> Any:
        under_way = self.node.begin(name, transport=self.transport, **_node_proof(proof), **given)
        return await asyncio.wait_for(asyncio.wrap_future(under_way), sdk_device.PATIENCE_S)


def _node_proof(proof: Proof) -> dict[str, str]:
    if proof.certificate is None or proof.private_key is None:
        assert proof.key is not None
        return {"key": proof.key}
    return {"certificate": proof.certificate.read_text(), "privateKey": proof.private_key.read_text()}


def _node_message(telemetry: Telemetry) -> dict[str, Any]:
    return {
        "body": json.dumps(telemetry.body),
        "messageId": telemetry.message_id,
        "correlationId": telemetry.correlation_id,
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "properties": telemetry.properties,
    }


@dataclass(frozen=True)
class Client:
    """One SDK on one wire; `made` gives it a service, and Node's process where it is one of Node's."""

    sdk: str
    wire: str
    package: str
    made: Callable[[RunningService, Callable[[], NodeClient]], DeviceSdk]
    refused_at_the_hub: str
    """How the SDK says so, as a pattern."""

    def __str__(self) -> str:
        return f"{self.sdk}-{self.wire}".lower().replace(" over ", "-").replace(" ", "-")


def _python(wire: str, transport: Transport) -> Client:
    package = f"Python `azure-iot-device` {version('azure-iot-device')}"
    return Client(
        "Python", wire, package, lambda service, _: PythonSdk(service, transport), "Credentials invalid"
    )


def _node(wire: str, transport: str) -> Client:
    def made(_: RunningService, node: Callable[[], NodeClient]) -> DeviceSdk:
        if transport.startswith("amqp"):
            amqp_engine()
        return NodeSdk(node(), transport)

    package = f"Node `azure-iot-device` {node_version('azure-iot-device')}"
    return Client("Node", wire, package, made, "[Uu]nauthorized|[Nn]ot authorized")


CLIENTS = (
    _python("MQTT", sdk_device.MQTT),
    _python("MQTT over WebSocket", sdk_device.WEBSOCKET),
    _node("MQTT", "mqtt"),
    _node("MQTT over WebSocket", "mqtt-ws"),
    _node("AMQP", "amqp"),
    _node("AMQP over WebSocket", "amqp-ws"),
    _node("HTTPS", "http"),
)
