"""The stock azure-iot-device SDK, unmodified, behind as few lines as it takes to write a test with it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from azure.iot.device import X509, IoTHubDeviceClient, Message, ProvisioningDeviceClient
from azure.iot.device import aio as sdk

from support.running_service import RunningService, needs_port_443

PATIENCE_S = 60

Result = TypeVar("Result")


@dataclass(frozen=True)
class Transport:
    """Port 8883, or MQTT over WebSocket on 443."""

    websockets: bool

    def arguments(self, service: RunningService) -> dict[str, Any]:
        if self.websockets:
            needs_port_443(service)
        return {"server_verification_cert": service.trust, "websockets": self.websockets}


MQTT = Transport(websockets=False)
WEBSOCKET = Transport(websockets=True)


def x509(certificate: Path, key: Path) -> X509:
    return X509(cert_file=str(certificate), key_file=str(key))


def provisioning_client(
    service: RunningService,
    registration_id: str,
    transport: Transport = MQTT,
    *,
    key: str | None = None,
    certificate: X509 | None = None,
    csr: str | None = None,
    id_scope: str | None = None,
    kind: Any = sdk.ProvisioningDeviceClient,
) -> Any:
    """A client that attests by a symmetric key or by X.509; a CSR travels in the custom payload."""
    arguments = {
        "provisioning_host": service.host,
        "registration_id": registration_id,
        "id_scope": id_scope or service.id_scope,
        **transport.arguments(service),
    }
    if certificate is not None:
        client = kind.create_from_x509_certificate(x509=certificate, **arguments)
    else:
        client = kind.create_from_symmetric_key(symmetric_key=key, **arguments)
    if csr is not None:
        client.provisioning_payload = {"clientCertificateCsr": csr}
    return client


async def register(service: RunningService, registration_id: str, *rest: Any, **arguments: Any) -> Any:
    """The SDK's RegistrationResult."""
    return await run_registration(provisioning_client(service, registration_id, *rest, **arguments))


async def run_registration(client: Any) -> Any:
    """Register once, and leave none of the SDK's threads behind."""
    try:
        return await asyncio.wait_for(client.register(), PATIENCE_S)
    finally:
        await asyncio.to_thread(_shut_down, client)


def _shut_down(client: Any) -> None:
    """The SDK closes a provisioning client after a success only, and has no public call; its threads would stay."""
    if client._pipeline._running:
        done = threading.Event()
        client._pipeline.shutdown(callback=lambda **_: done.set())
        assert done.wait(PATIENCE_S)


def register_blocking(service: RunningService, registration_id: str, *rest: Any, **arguments: Any) -> Any:
    """The same with the SDK's synchronous client, which waits for ever where a field is missing."""
    client = provisioning_client(service, registration_id, *rest, kind=ProvisioningDeviceClient, **arguments)
    try:
        return within(PATIENCE_S, client.register)
    finally:
        _shut_down(client)


def issued_chain(result: Any) -> str:
    """The PEM chain in the answer's payload."""
    return str(json.loads(result.registration_state.response_payload)["issuedClientCertificate"])


@asynccontextmanager
async def hub_connection(
    service: RunningService,
    device_id: str,
    transport: Transport = MQTT,
    *,
    certificate: X509 | None = None,
    key: str | None = None,
) -> AsyncIterator[Any]:
    """A connected IoTHubDeviceClient, shut down at the end."""
    client = hub_client(service, device_id, transport, certificate=certificate, key=key)
    try:
        await asyncio.wait_for(client.connect(), PATIENCE_S)
        yield client
    finally:
        await asyncio.wait_for(client.shutdown(), PATIENCE_S)


def hub_client(
    service: RunningService,
    device_id: str,
    transport: Transport = MQTT,
    *,
    certificate: X509 | None = None,
    key: str | None = None,
    kind: Any = sdk.IoTHubDeviceClient,
) -> Any:
    """A client that does not come back by itself, so that a test sees what the hub does."""
    arguments = {**transport.arguments(service), "connection_retry": False, "auto_connect": False}
    if certificate is not None:
        return kind.create_from_x509_certificate(
            x509=certificate, hostname=service.host, device_id=device_id, **arguments
        )
    text = f"HostName={service.host};DeviceId={device_id};SharedAccessKey={key}"
    return kind.create_from_connection_string(text, **arguments)


def blocking_hub_client(service: RunningService, device_id: str, **arguments: Any) -> Any:
    return hub_client(service, device_id, kind=IoTHubDeviceClient, **arguments)


def messages(count: int = 10) -> list[Message]:
    """Messages with everything that a test looks for at the other end."""
    made = []
    for number in range(count):
        message = Message(json.dumps({"number": number, "temperature": 20.5}))
        message.message_id = f"message-{number}"
        message.correlation_id = "a b/c=d&e"
        message.content_type = "application/json"
        message.content_encoding = "utf-8"
        message.custom_properties["line"] = "7/ä"
        message.custom_properties["number"] = str(number)
        made.append(message)
    return made


async def send(client: Any, count: int = 10) -> None:
    """All messages at the same time; each is acknowledged when this returns."""
    await asyncio.wait_for(
        asyncio.gather(*(client.send_message(message) for message in messages(count))), PATIENCE_S
    )


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Run a call that might never return in a thread; raises what it raised."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((True, call()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"{call} has not returned after {seconds} s"
    succeeded, value = outcome[0]
    if not succeeded:
        raise value
    result: Result = value
    return result
