"""Every way in which a device can be enrolled to prove itself, by a symmetric key or by X.509, alone or in a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.device_key import DeviceKey, authority, below, derived_key
from support.device_sdks import Proof
from support.enrolling import symmetric_group, symmetric_individual, x509_group, x509_individual
from support.running_service import RunningService


@dataclass(frozen=True)
class Enrolled:
    """How the device proves itself; `group` is what its registration must name."""

    proof: Proof
    group: str | None = None


@dataclass(frozen=True)
class Way:
    """`attestation` and `enrollment` as the docs call them; `enroll` takes further members of the enrollment."""

    attestation: str
    enrollment: str
    enroll: Callable[[RunningService, DeviceKey, dict[str, Any]], Enrolled]

    def __str__(self) -> str:
        return self.enroll.__name__.strip("_")


def _individual_key(service: RunningService, key: DeviceKey, members: dict[str, Any]) -> Enrolled:
    return Enrolled(Proof(key=symmetric_individual(service, key.registration_id, **members)))


def _group_key(service: RunningService, key: DeviceKey, members: dict[str, Any], which: str) -> Enrolled:
    group = f"line-of-{key.registration_id}"
    master = symmetric_group(service, group, which, **members)
    return Enrolled(Proof(key=derived_key(master, key.registration_id)), group)


def _group_primary_key(service: RunningService, key: DeviceKey, members: dict[str, Any]) -> Enrolled:
    return _group_key(service, key, members, "primaryKey")


def _group_secondary_key(service: RunningService, key: DeviceKey, members: dict[str, Any]) -> Enrolled:
    return _group_key(service, key, members, "secondaryKey")


def _individual_x509(service: RunningService, key: DeviceKey, members: dict[str, Any]) -> Enrolled:
    certificate = key.self_signed().pem
    x509_individual(service, key.registration_id, certificate, **members)
    return Enrolled(_shown(key, certificate))


def _group_x509(
    service: RunningService, key: DeviceKey, members: dict[str, Any], enrolled: str, chain: str
) -> Enrolled:
    group = f"vendor-of-{key.registration_id}"
    x509_group(service, group, enrolled, **members)
    return Enrolled(_shown(key, chain), group)


def _shown(key: DeviceKey, chain: str) -> Proof:
    return Proof(certificate=key.write(chain, "bootstrap.pem"), private_key=key.file)


def _group_root(service: RunningService, key: DeviceKey, members: dict[str, Any]) -> Enrolled:
    root = authority(f"Root of {key.registration_id}")
    return _group_x509(service, key, members, root.pem, key.issued_by(root).pem)


def _group_root_with_chain_of_three(
    service: RunningService, key: DeviceKey, members: dict[str, Any]
) -> Enrolled:
    root = authority(f"Root of {key.registration_id}")
    intermediate = below(root, f"Line of {key.registration_id}")
    chain = key.issued_by(intermediate).pem + intermediate.pem + root.pem
    return _group_x509(service, key, members, root.pem, chain)


def _group_intermediate(service: RunningService, key: DeviceKey, members: dict[str, Any]) -> Enrolled:
    root = authority(f"Root of {key.registration_id}")
    intermediate = below(root, f"Line of {key.registration_id}")
    return _group_x509(service, key, members, intermediate.pem, key.issued_by(intermediate).pem)


SYMMETRIC, X509 = "symmetric key", "X.509"
INDIVIDUAL, GROUP = "individual", "group"

WAYS = (
    Way(SYMMETRIC, INDIVIDUAL, _individual_key),
    Way(SYMMETRIC, GROUP, _group_primary_key),
    Way(SYMMETRIC, GROUP, _group_secondary_key),
    Way(X509, INDIVIDUAL, _individual_x509),
    Way(X509, GROUP, _group_root),
    Way(X509, GROUP, _group_root_with_chain_of_three),
    Way(X509, GROUP, _group_intermediate),
)
