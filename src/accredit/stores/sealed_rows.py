"""The rows that hold secrets: policies, authorities and enrollments, to columns and back; hubs' are in `hub_rows.py`.

Each row has one envelope, `sealed`, bound to the row by its table and natural key. What is inside is told only here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.access import Policy, Realm, Right
from accredit.domain.authority import AuthorityRecord
from accredit.domain.enrollment import (
    Attestation,
    CaReferences,
    Enrollment,
    EnrollmentKind,
    LeafCertificates,
    ReprovisionPolicy,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.domain.ids import CaCertificateName, DeviceId, GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey
from accredit.policy.chains import subject_sha256
from accredit.seal import Sealer
from accredit.stores.rows import Row, authority_name

_NO_CERTIFICATES = (None, None, None, None)


def state_value(name: str, value: Secret, sealer: Sealer) -> bytes:
    return sealer.seal(value.reveal(), "states", name, "sealed")


def state(name: str, sealed: bytes, sealer: Sealer) -> Secret:
    return Secret(sealer.open(sealed, "states", name, "sealed"))


def policy_values(policy: Policy, sealer: Sealer) -> tuple[Any, ...]:
    """For INSERT_POLICY; realm and name stand last."""
    keys = joined(policy.primary, policy.secondary)
    sealed = sealer.seal(keys, "policies", f"{policy.realm}/{policy.name}", "sealed")
    return (
        " ".join(sorted(policy.rights)),
        sealed,
        policy.etag,
        policy.created_at,
        policy.updated_at,
        policy.realm.value,
        policy.name,
    )


def policy(row: Row, sealer: Sealer) -> Policy:
    (realm, name, rights, sealed, etag, created_at, updated_at) = row
    primary, secondary = parted(sealer.open(sealed, "policies", f"{realm}/{name}", "sealed"))
    held = frozenset(map(Right, rights.split()))
    return Policy(Realm(realm), name, held, primary, secondary, etag, created_at, updated_at)


def authority_values(record: AuthorityRecord, sealer: Sealer) -> tuple[Any, ...]:
    """For INSERT_AUTHORITY; the key stands last."""
    secrets = msgspec.json.encode({name: secret.reveal() for name, secret in record.secrets.items()})
    return (
        record.name.text,
        record.type,
        json_text(record.settings),
        sealer.seal(secrets, "authorities", record.name.key, "sealed"),
        record.version,
        record.etag,
        record.created_at,
        record.updated_at,
        record.name.key,
    )


def authority(row: Row, sealer: Sealer) -> AuthorityRecord:
    (text, kind, settings, sealed, *rest) = row
    name = authority_name(text)
    secrets = msgspec.json.decode(
        sealer.open(sealed, "authorities", name.key, "sealed"), type=dict[str, bytes]
    )
    revealed = {key: Secret(value) for key, value in secrets.items()}
    return AuthorityRecord(name, kind, msgspec.json.decode(settings), revealed, *rest)


def enrollment_values(enrollment: Enrollment, sealer: Sealer) -> tuple[Any, ...]:
    """For INSERT_ENROLLMENT; kind and key stand last."""
    authority = enrollment.authority
    return (
        enrollment.id.text,
        *_attestation_values(enrollment, sealer),
        enrollment.generation,
        enrollment.etag,
        enrollment.created_at,
        enrollment.updated_at,
        enrollment.enabled,
        None if enrollment.device_id is None else enrollment.device_id.text,
        None if authority is None else authority.key,
        None if authority is None else authority.text,
        enrollment.allocation_policy,
        json_text(enrollment.hubs),
        enrollment.reprovision.update_hub_assignment,
        enrollment.reprovision.migrate_device_data,
        enrollment.iot_edge,
        None if enrollment.initial_twin is None else json_text(enrollment.initial_twin),
        json_text(enrollment.settings),
        *_tpm_values(enrollment.attestation),
        _sealed_secrets(enrollment, sealer),
        enrollment.reprovision.stated,
        enrollment.kind.value,
        enrollment.id.key,
    )


def _attestation_values(enrollment: Enrollment, sealer: Sealer) -> tuple[Any, ...]:
    attestation = enrollment.attestation
    if isinstance(attestation, SymmetricKeys):
        keys = joined(attestation.primary, attestation.secondary)
        place = f"{enrollment.kind}/{enrollment.id.key}"
        return "symmetric", sealer.seal(keys, "enrollments", place, "sealed"), *_NO_CERTIFICATES
    if isinstance(attestation, TpmKeys):
        return "tpm", None, *_NO_CERTIFICATES
    if isinstance(attestation, CaReferences):
        primary_name, *other = (name.text.encode() for name in attestation.names)
        return "references", None, primary_name, *(other or (None,)), None, None
    primary, secondary = attestation.primary, attestation.secondary
    if isinstance(attestation, LeafCertificates):
        return "leaf", None, primary, secondary, None, None
    return (
        "signing",
        None,
        primary,
        secondary,
        subject_sha256(primary),
        None if secondary is None else subject_sha256(secondary),
    )


def _tpm_values(attestation: Attestation) -> tuple[bytes | None, bytes | None]:
    if not isinstance(attestation, TpmKeys):
        return None, None
    storage_root = attestation.storage_root
    return attestation.endorsement.area, None if storage_root is None else storage_root.area


def enrollment(row: Row, sealer: Sealer) -> Enrollment:
    (kind, key, text, attestation, sealed, primary, secondary, generation, etag, *rest) = row
    (created_at, updated_at, enabled, device_id, authority, allocation_policy, hubs, *rest) = rest
    (update_hub_assignment, migrate_device_data, iot_edge, initial_twin, settings, *rest) = rest
    (*tpm, sealed_secrets, stated) = rest
    individual = kind == EnrollmentKind.INDIVIDUAL
    return Enrollment(
        RegistrationId(text, key) if individual else GroupId(text, key),
        _tpm(*tpm) or _attestation(attestation, f"{kind}/{key}", sealed, primary, secondary, sealer),
        generation,
        etag,
        created_at,
        updated_at,
        bool(enabled),
        None if device_id is None else DeviceId(device_id),
        None if authority is None else authority_name(authority),
        allocation_policy,
        msgspec.json.decode(hubs, type=tuple[str, ...]),
        ReprovisionPolicy(bool(update_hub_assignment), bool(migrate_device_data), bool(stated)),
        bool(iot_edge),
        None if initial_twin is None else msgspec.json.decode(initial_twin),
        msgspec.json.decode(settings),
        {} if sealed_secrets is None else _secrets(sealed_secrets, f"{kind}/{key}", sealer),
    )


def _tpm(endorsement: bytes | None, storage_root: bytes | None) -> TpmKeys | None:
    if endorsement is None:
        return None
    return TpmKeys(TpmKey(endorsement), None if storage_root is None else TpmKey(storage_root))


def _sealed_secrets(enrollment: Enrollment, sealer: Sealer) -> bytes | None:
    if not enrollment.secrets:
        return None
    revealed = {member: secret.reveal() for member, secret in enrollment.secrets.items()}
    place = f"{enrollment.kind}/{enrollment.id.key}"
    return sealer.seal(msgspec.json.encode(revealed), "enrollments", place, "sealed_secrets")


def _secrets(sealed: bytes, place: str, sealer: Sealer) -> dict[str, Secret]:
    opened = sealer.open(sealed, "enrollments", place, "sealed_secrets")
    return {
        member: Secret(value) for member, value in msgspec.json.decode(opened, type=dict[str, bytes]).items()
    }


def _attestation(
    kind: str, place: str, sealed: bytes | None, primary: Any, secondary: Any, sealer: Sealer
) -> Attestation:
    if sealed is not None:
        return SymmetricKeys(*parted(sealer.open(sealed, "enrollments", place, "sealed")))
    if kind == "references":
        return CaReferences(*(_ca_certificate_name(name) for name in (primary, secondary) if name))
    return LeafCertificates(primary, secondary) if kind == "leaf" else SigningCertificates(primary, secondary)


def _ca_certificate_name(stored: str | bytes) -> CaCertificateName:
    # A column of octets: only SQLite takes text in it, and earlier versions gave it that.
    text = stored if isinstance(stored, str) else stored.decode()
    return CaCertificateName(text, text.lower())


def joined(primary: Secret, secondary: Secret) -> bytes:
    """Both keys of a row share one envelope: sealing costs more than what is sealed."""
    first = primary.reveal()
    return len(first).to_bytes(2, "big") + first + secondary.reveal()


def parted(both: bytes) -> tuple[Secret, Secret]:
    end = 2 + int.from_bytes(both[:2], "big")
    return Secret(both[2:end]), Secret(both[end:])


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()
