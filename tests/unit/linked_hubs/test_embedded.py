"""What provisioning commits so that a device is good at the embedded hub."""

from __future__ import annotations

import hashlib

import pytest

from accredit.domain.changes import BindCertificate, SaveHubDevice
from accredit.domain.credential import CertificateRecord, Certified, Credential, IssuedChain, Presented
from accredit.domain.enrollment import Enrollment, SymmetricKeys
from accredit.domain.evidence import Attested, DeviceKeys, ProvenChain
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId
from accredit.domain.registration import Allocated, Issued, Substatus
from accredit.domain.secret import Secret
from accredit.linked_hubs.embedded import EmbeddedHub

NOW = 1_800_000_000
LAMP = RegistrationId.parse("Lamp-1")
KEYS = DeviceKeys(Secret(b"p" * 32), Secret(b"s" * 32))
ENROLLMENT = Enrollment(
    id=GroupId.parse("lamps"),
    attestation=SymmetricKeys(Secret(b"P" * 32), Secret(b"S" * 32)),
    generation="g",
    etag="e",
    created_at=NOW,
    updated_at=NOW,
    iot_edge=True,
    initial_twin={"tags": {"floor": 5}, "properties": {"desired": {"on": True}}},
)
CHAIN = IssuedChain((b"leaf", b"issuer"), 7, NOW - 300, NOW + 1_000, b"t" * 32, b"k" * 32)
RECORD = CertificateRecord(
    issued=CHAIN,
    authority=AuthorityName.parse("builtin"),
    authority_version="1",
    profile="device",
    registration_id=LAMP,
    device_id=DeviceId("lamp-1"),
    enrollment_generation="g",
    csr_sha256=b"c" * 32,
    operation_id="op",
    issued_at=NOW,
)


def issued(credential: Credential, proof: DeviceKeys | ProvenChain = KEYS) -> Issued:
    allocated = Allocated(
        attested=Attested(LAMP, ENROLLMENT, proof),
        registration_id=LAMP,
        previous=None,
        device_id=DeviceId("lamp-1"),
        hub="localhost",
        substatus=Substatus.INITIAL_ASSIGNMENT,
    )
    return Issued(allocated, "op", credential)


def saved(credential: Credential, proof: DeviceKeys | ProvenChain = KEYS) -> SaveHubDevice:
    change = EmbeddedHub("localhost").bind(issued(credential, proof), NOW, "token")[0]
    assert isinstance(change, SaveHubDevice)
    return change


def test_the_identity_carries_the_enrollments_twin_and_the_devices_keys() -> None:
    device = saved(Presented()).device
    assert device.device_id == DeviceId("lamp-1")
    assert device.registration_id == LAMP
    assert device.enabled
    assert device.keys == KEYS
    assert device.thumbprint is None
    assert device.initial_twin == {"tags": {"floor": 5}, "properties": {"desired": {"on": True}}}
    assert device.iot_edge
    assert (device.generation_id, device.etag) == ("token", "token")
    assert (device.created_at, device.updated_at) == (NOW, NOW)


def test_a_proven_chain_leaves_the_thumbprint_of_its_leaf() -> None:
    device = saved(Presented(), ProvenChain((b"own leaf", b"intermediate"))).device
    assert device.thumbprint == hashlib.sha256(b"own leaf").digest()
    assert device.keys is None


@pytest.mark.parametrize("fresh", [True, False])
def test_a_certificate_is_bound_after_its_identity(fresh: bool) -> None:
    changes = EmbeddedHub("localhost").bind(issued(Certified(RECORD, fresh)), NOW, "token")
    assert [type(change) for change in changes] == [SaveHubDevice, BindCertificate]
    assert changes[1] == BindCertificate(DeviceId("lamp-1"), b"t" * 32, NOW - 300, NOW + 1_000, NOW)


def test_without_a_certificate_no_binding_is_touched() -> None:
    changes = EmbeddedHub("localhost").bind(issued(Presented()), NOW, "token")
    assert [type(change) for change in changes] == [SaveHubDevice]
