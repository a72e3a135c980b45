"""Values to put into a store: each right by itself, and different from the last one made, unless a test says what it is."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import Any

from accredit.domain.access import Policy, Realm, Right
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ca_certificate import CaCertificate, Purpose
from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.changes import (
    AppendLeaf,
    AssertAuthority,
    AssertEnrollment,
    BindCertificate,
    Change,
    RecordCertificate,
    SaveAuthority,
    SaveEnrollment,
    SaveHubDevice,
    SaveRegistration,
)
from accredit.domain.credential import CertificateRecord, IssuedChain, Profile
from accredit.domain.device import HubDevice
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef, SymmetricKeys
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import (
    AuthorityName,
    CaCertificateName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.issuance_log import certificate_leaf
from accredit.domain.registration import Operation, Registration, Status, Substatus
from accredit.domain.secret import Secret
from accredit.domain.trust_bundle import TrustBundle
from support import pki

NOW = 1_800_000_000
BUILTIN = AuthorityName.parse("builtin")
FLEET = EnrollmentRef(EnrollmentKind.GROUP, "fleet")
INTERMEDIATE = b"\x30\x03not really an intermediate"

_numbers = count(1)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def secret(name: str) -> Secret:
    """32 bytes that a test can search for."""
    return Secret(digest("secret " + name))


def individual(registration_id: str) -> EnrollmentRef:
    return EnrollmentRef(EnrollmentKind.INDIVIDUAL, registration_id.lower())


def policy(realm: Realm = Realm.PROVISIONING, name: str = "owner", **facts: Any) -> Policy:
    facts = {"rights": frozenset({Right.ENROLLMENT_READ, Right.SERVICE_CONFIG})} | facts
    return Policy(
        realm, name, primary=secret(f"{name} primary"), secondary=secret(f"{name} secondary"), **facts
    )


def authority(name: str = "builtin", etag: str = "a1", version: str = "v1", **facts: Any) -> AuthorityRecord:
    facts = {"settings": {"profileName": "p"}, "secrets": {"apiKey": secret(f"api key of {name}")}} | facts
    return AuthorityRecord(
        AuthorityName.parse(name),
        facts.pop("type", "BuiltIn"),
        version=version,
        etag=etag,
        created_at=NOW,
        updated_at=NOW,
        **facts,
    )


def ca_certificate(name: str = "Plant", etag: str = "c1", **facts: Any) -> CaCertificate:
    """`root` is what stands in it: the certificate of another name is another one."""
    facts = {
        "certificate": facts.pop("root", None) or pki.root(name).der,
        "purpose": Purpose.X509,
        "verified": True,
        "created_at": NOW,
        "updated_at": NOW,
    } | facts
    return CaCertificate(CaCertificateName.parse(name), etag=etag, **facts)


def trust_bundle(name: str = "Roots", etag: str = "b1", **facts: Any) -> TrustBundle:
    facts = {"certificates": (b"one root", b"another"), "created_at": NOW, "updated_at": NOW} | facts
    return TrustBundle(TrustBundleName.parse(name), etag=etag, **facts)


def certificate_profile(name: str = "Lamps", etag: str = "b1", **facts: Any) -> CertificateProfile:
    facts = {"profile": Profile(name, "v1", keys=("P-384",)), "created_at": NOW, "updated_at": NOW} | facts
    return CertificateProfile(CertificateProfileName.parse(name), etag=etag, **facts)


def group(name: str = "Fleet", etag: str = "e1", **facts: Any) -> Enrollment:
    facts = {"attestation": SymmetricKeys(secret(f"{name} 1"), secret(f"{name} 2"))} | facts
    return Enrollment(
        GroupId.parse(name),
        generation=f"generation of {name}",
        etag=etag,
        created_at=NOW,
        updated_at=NOW,
        **facts,
    )


def enrollment(name: str = "Pump-1", etag: str = "e1", **facts: Any) -> Enrollment:
    facts = {"attestation": SymmetricKeys(secret(f"{name} 1"), secret(f"{name} 2"))} | facts
    return Enrollment(
        RegistrationId.parse(name), generation="g", etag=etag, created_at=NOW, updated_at=NOW, **facts
    )


def registration(name: str = "Pump-1", etag: str = "r1", **facts: Any) -> Registration:
    facts = {
        "enrollment": FLEET,
        "device_id": DeviceId(name),
        "hub": "localhost",
        "status": Status.ASSIGNED,
        "substatus": Substatus.INITIAL_ASSIGNMENT,
        "operation_id": f"operation of {name}",
        "created_at": NOW,
        "updated_at": NOW,
    } | facts
    return Registration(RegistrationId.parse(name), etag=etag, **facts)


def operation(operation_id: str, name: str = "Pump-1", **facts: Any) -> Operation:
    facts = {
        "enrollment": FLEET,
        "enrollment_etag": "e1",
        "enrollment_generation": "g1",
        "authority": AuthorityName.parse("DigiCert"),
        "authority_version": "v1",
        "profile": "device/1",
        "device_id": DeviceId(name),
        "hub": "localhost",
        "substatus": Substatus.INITIAL_ASSIGNMENT,
        "csr_der": b"csr",
        "csr_field": "clientCertificateCsr",
        "spki_sha256": digest(f"key of {name}"),
        "payload": b'{"a":1}',
        "bootstrap_certificate": None,
        "tracking_id": "t",
        "created_at": NOW,
        "deadline_at": NOW + 300,
    } | facts
    return Operation(operation_id, RegistrationId.parse(name), **facts)


def certificate(name: str = "Pump-1", device_id: str | None = None, **facts: Any) -> CertificateRecord:
    """`serial`, `key` and `above` are told here; each is new by default, but for what stands above."""
    number = next(_numbers)
    leaf = b"leaf %d of %s" % (number, name.encode())
    issued = IssuedChain(
        (leaf, *facts.pop("above", (INTERMEDIATE,))),
        facts.pop("serial", number),
        NOW,
        NOW + 30 * 86_400,
        hashlib.sha256(leaf).digest(),
        digest(facts.pop("key", f"key {number}")),
        facts.pop("ca_reference", None),
    )
    facts = {
        "authority": BUILTIN,
        "authority_version": "v1",
        "profile": "device/1",
        "enrollment_generation": "g1",
        "csr_sha256": digest(f"csr {number}"),
        "operation_id": f"operation {number}",
        "issued_at": NOW,
    } | facts
    return CertificateRecord(
        issued, registration_id=RegistrationId.parse(name), device_id=DeviceId(device_id or name), **facts
    )


def hub_device(name: str = "Pump-1", **facts: Any) -> HubDevice:
    facts = {
        "registration_id": RegistrationId.parse(name),
        "generation_id": f"generation of {name}",
        "etag": "h1",
        "created_at": NOW,
        "updated_at": NOW,
        "keys": DeviceKeys(secret(f"{name} key 1"), secret(f"{name} key 2")),
    } | facts
    return HubDevice(DeviceId(name), **facts)


def binding(record: CertificateRecord, bound_at: int = NOW) -> BindCertificate:
    issued = record.issued
    return BindCertificate(record.device_id, issued.sha256, issued.not_before, issued.not_after, bound_at)


def configured() -> list[Change]:
    """The authority `builtin` and the group `Fleet`."""
    return [SaveAuthority(authority(), None), SaveEnrollment(group(), None)]


def provisioned(name: str, record: CertificateRecord | None = None) -> list[Change]:
    """The unit of work of one device that is new here, and gets its certificate from `builtin`."""
    record = record or certificate(name)
    issued = record.issued
    return [
        AssertEnrollment(FLEET, "e1"),
        AssertAuthority(BUILTIN, "v1"),
        RecordCertificate(record, shared_key=False),
        AppendLeaf(certificate_leaf(record.authority, issued.leaf, issued.sha256, NOW)),
        SaveRegistration(registration(name, certificate_sha256=issued.sha256), None),
        SaveHubDevice(hub_device(name)),
        binding(record),
    ]
