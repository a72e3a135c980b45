"""The stock SDKs, unmodified, on every wire: each way to prove who it is, then telemetry to the hub on the same wire.

The devices that ask for a certificate send their CSR in the custom payload, since a released SDK has no field for it.
What passes here stands in docs/compatibility.md.
"""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from support.compatibility import Cell
from support.device_key import DeviceKey
from support.device_sdks import CLIENTS, Client, DeviceSdk, Proof, Telemetry
from support.enrolling import issuing
from support.running_service import RunningService, needs_port_443
from support.ways_to_enroll import WAYS, Way

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")

each_way = pytest.mark.parametrize("way", WAYS, ids=str)

MESSAGES = [
    Telemetry(
        body={"number": number, "temperature": 20.5},
        message_id=f"message-{number}",
        correlation_id="a b/c=d&e",
        properties={"line": "7/ä", "number": str(number)},
    )
    for number in range(5)
]


@pytest.fixture(params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    return request.param


@pytest.fixture
def sdk(client: Client, service: RunningService, request: pytest.FixtureRequest) -> DeviceSdk:
    needs_port_443(service)
    return client.made(service, lambda: request.getfixturevalue("node_device"))


@each_way
async def test_a_device_gets_its_certificate_and_uses_it_at_the_hub(
    service: RunningService, key: DeviceKey, way: Way, client: Client, sdk: DeviceSdk, record_property: Any
) -> None:
    Cell(client.sdk, client.wire, way.attestation, way.enrollment, certificate=True).claim(record_property)
    name = key.registration_id
    enrolled = way.enroll(service, key, issuing())
    told = await sdk.register(name, enrolled.proof, {"clientCertificateCsr": key.csr()})
    assert (told.status, told.hub, told.device_id) == ("assigned", service.host, name)
    assert told.substatus == "initialAssignment"
    chain = told.payload["issuedClientCertificate"]
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    assert leaf.public_key() == key.private.public_key()
    issued = Proof(certificate=key.write(chain), private_key=key.file)
    await sdk.send(told.hub, name, issued, MESSAGES)
    _received_all(service, name, "x509CertificateAuthority")
    # What it was enrolled with opens the hub no longer.
    with pytest.raises(Exception, match=client.refused_at_the_hub):
        await sdk.send(told.hub, name, enrolled.proof, MESSAGES[:1])


@each_way
async def test_without_a_csr_the_device_goes_on_with_its_own_proof(
    service: RunningService, key: DeviceKey, way: Way, client: Client, sdk: DeviceSdk, record_property: Any
) -> None:
    Cell(client.sdk, client.wire, way.attestation, way.enrollment, certificate=False).claim(record_property)
    name = key.registration_id
    enrolled = way.enroll(service, key, {})
    told = await sdk.register(name, enrolled.proof)
    assert (told.status, told.hub, told.device_id) == ("assigned", service.host, name)
    assert told.payload is None
    assert _group_told(service, name) == enrolled.group
    await sdk.send(told.hub, name, enrolled.proof, MESSAGES)
    _received_all(service, name, "sas" if enrolled.proof.key else "x509Thumbprint")


def _group_told(service: RunningService, registration_id: str) -> str | None:
    document = service.client().call("GET", f"/registrations/{registration_id}").json()
    return document.get("enrollmentGroupId")


def _received_all(service: RunningService, device_id: str, method: str) -> None:
    """All messages arrived whole, each once."""
    rows = sorted(service.telemetry(device_id), key=lambda row: row["body"]["number"])
    assert [row["body"] for row in rows] == [message.body for message in MESSAGES]
    for row, message in zip(rows, MESSAGES, strict=True):
        assert row["deviceId"] == device_id
        assert row["properties"] == message.properties
        system = row["systemProperties"]
        assert (system["message-id"], system["correlation-id"]) == (
            message.message_id,
            message.correlation_id,
        )
        assert (system["content-type"], system["content-encoding"]) == ("application/json", "utf-8")
        assert method in row["authMethod"]
