"""The stock azure-iot-device SDK, unmodified: every way to prove who it is, over MQTT and WebSocket, then the hub.

The devices that ask for a certificate send their CSR in the custom payload, since a released SDK has no field for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509

from support import sdk_device
from support.device_key import DeviceKey, authority, below, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual, x509_group, x509_individual
from support.running_service import RunningService
from support.sdk_device import MQTT, WEBSOCKET, Transport

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")

over_each_transport = pytest.mark.parametrize("transport", [MQTT, WEBSOCKET], ids=["mqtt", "websocket"])


@dataclass
class Enrolled:
    """How the device proves itself; `group` is what the answer must name."""

    proof: dict[str, Any]
    group: str | None = None


def individual_key(service: RunningService, key: DeviceKey, policy: dict[str, Any]) -> Enrolled:
    return Enrolled({"key": symmetric_individual(service, key.registration_id, **policy)})


def _group_key(service: RunningService, key: DeviceKey, policy: dict[str, Any], which: str) -> Enrolled:
    group = f"line-of-{key.registration_id}"
    master = symmetric_group(service, group, which, **policy)
    return Enrolled({"key": derived_key(master, key.registration_id)}, group)


def group_primary_key(service: RunningService, key: DeviceKey, policy: dict[str, Any]) -> Enrolled:
    return _group_key(service, key, policy, "primaryKey")


def group_secondary_key(service: RunningService, key: DeviceKey, policy: dict[str, Any]) -> Enrolled:
    return _group_key(service, key, policy, "secondaryKey")


def individual_x509(service: RunningService, key: DeviceKey, policy: dict[str, Any]) -> Enrolled:
    certificate = key.self_signed().pem
    x509_individual(service, key.registration_id, certificate, **policy)
    return Enrolled(_shown(key, certificate))


def _group_x509(
    service: RunningService, key: DeviceKey, policy: dict[str, Any], enrolled: str, chain: str
) -> Enrolled:
    group = f"vendor-of-{key.registration_id}"
    x509_group(service, group, enrolled, **policy)
    return Enrolled(_shown(key, chain), group)


def _shown(key: DeviceKey, chain: str) -> dict[str, Any]:
    return {"certificate": sdk_device.x509(key.write(chain, "bootstrap.pem"), key.file)}


def group_root(service: RunningService, key: DeviceKey, policy: dict[str, Any]) -> Enrolled:
    root = authority(f"Root of {key.registration_id}")
    return _group_x509(service, key, policy, root.pem, key.issued_by(root).pem)


def group_root_with_chain_of_three(
    service: RunningService, key: DeviceKey, policy: dict[str, Any]
) -> Enrolled:
    root = authority(f"Root of {key.registration_id}")
    intermediate = below(root, f"Line of {key.registration_id}")
    chain = key.issued_by(intermediate).pem + intermediate.pem + root.pem
    return _group_x509(service, key, policy, root.pem, chain)


def group_intermediate(service: RunningService, key: DeviceKey, policy: dict[str, Any]) -> Enrolled:
    root = authority(f"Root of {key.registration_id}")
    intermediate = below(root, f"Line of {key.registration_id}")
    return _group_x509(service, key, policy, intermediate.pem, key.issued_by(intermediate).pem)


Enrolls = Callable[[RunningService, DeviceKey, dict[str, Any]], Enrolled]
EVERY_WAY: list[Enrolls] = [
    individual_key,
    group_primary_key,
    group_secondary_key,
    individual_x509,
    group_root,
    group_root_with_chain_of_three,
    group_intermediate,
]
each_way = pytest.mark.parametrize("enrolls", EVERY_WAY, ids=lambda enrolls: enrolls.__name__)


@each_way
@over_each_transport
async def test_a_device_gets_its_certificate_and_uses_it_at_the_hub(
    service: RunningService, key: DeviceKey, enrolls: Enrolls, transport: Transport
) -> None:
    enrolled = enrolls(service, key, issuing())
    result = await sdk_device.register(
        service, key.registration_id, transport, csr=key.csr(), **enrolled.proof
    )
    assert result.status == "assigned"
    state = result.registration_state
    assert (state.assigned_hub, state.device_id) == (service.host, key.registration_id)
    assert state.sub_status == "initialAssignment"
    chain = sdk_device.issued_chain(result)
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    assert leaf.public_key() == key.private.public_key()
    issued = sdk_device.x509(key.write(chain), key.file)
    async with sdk_device.hub_connection(service, state.device_id, transport, certificate=issued) as hub:
        await sdk_device.send(hub)
    _received_all(service, state.device_id, "x509CertificateAuthority")
    with pytest.raises(Exception, match="Credentials invalid"):
        await _connects(service, transport, key.registration_id, enrolled.proof)


@each_way
@over_each_transport
async def test_without_a_csr_the_device_goes_on_with_its_own_proof(
    service: RunningService, key: DeviceKey, enrolls: Enrolls, transport: Transport
) -> None:
    enrolled = enrolls(service, key, {})
    result = await sdk_device.register(service, key.registration_id, transport, **enrolled.proof)
    assert result.status == "assigned"
    assert result.registration_state.response_payload == "null"
    assert _group_told(service, key.registration_id) == enrolled.group
    async with sdk_device.hub_connection(service, key.registration_id, transport, **enrolled.proof) as hub:
        await sdk_device.send(hub)
    _received_all(service, key.registration_id, "sas" if "key" in enrolled.proof else "x509Thumbprint")


async def _connects(
    service: RunningService, transport: Transport, device_id: str, proof: dict[str, Any]
) -> None:
    async with sdk_device.hub_connection(service, device_id, transport, **proof):
        pass


def _group_told(service: RunningService, registration_id: str) -> str | None:
    document = service.client().call("GET", f"/registrations/{registration_id}").json()
    return document.get("enrollmentGroupId")


def _received_all(service: RunningService, device_id: str, method: str) -> None:
    """All ten messages arrived whole, each once."""
    rows = service.telemetry(device_id)
    assert sorted(row["body"]["number"] for row in rows) == list(range(10))
    for row in rows:
        number = row["body"]["number"]
        assert row["deviceId"] == device_id
        assert row["body"] == {"number": number, "temperature": 20.5}
        assert row["properties"] == {"line": "7/ä", "number": str(number)}
        system = row["systemProperties"]
        assert system["message-id"] == f"message-{number}"
        assert system["correlation-id"] == "a b/c=d&e"
        assert (system["content-type"], system["content-encoding"]) == ("application/json", "utf-8")
        assert method in row["authMethod"]
