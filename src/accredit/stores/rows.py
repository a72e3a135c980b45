"""Values of the domain to the columns of a row, and back: each pair of functions is one table's.

What needs the sealer is in `sealed_rows.py`. A row is trusted: names were parsed before they were stored, so they are
not parsed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from accredit.domain.credential import (
    CertificateRecord,
    CertificateStatus,
    IssuedChain,
    RevocationReason,
    Revoked,
)
from accredit.domain.device import Binding, BindingState, DeviceData
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.issuance_log import Leaf, LeafKind
from accredit.domain.registration import (
    DataFate,
    Operation,
    OperationState,
    Phase,
    Registration,
    Status,
    Substatus,
)
from accredit.domain.tpm import TpmKey, TpmProof

Row = Sequence[Any]

# Looked up twice as fast as an enumeration is called, several times for each row.
_KINDS = {kind.value: kind for kind in EnrollmentKind}
_STATUSES = {status.value: status for status in Status}
_SUBSTATUSES: dict[str | None, Substatus] = {substatus.value: substatus for substatus in Substatus}
_OPERATION_STATES = {state.value: state for state in OperationState}
_PHASES = {phase.value: phase for phase in Phase}
_FATES = {fate.value: fate for fate in DataFate}
_CERTIFICATE_STATUSES = {status.value: status for status in CertificateStatus}
_BINDING_STATES = {state.value: state for state in BindingState}

_SERIAL_BYTES = 21
"""Room for the 20 octets of RFC 5280 and a sign; what a careless CA makes longer is stored longer."""


def authority_name(text: str) -> AuthorityName:
    return AuthorityName(text, text.lower())


def registration_values(registration: Registration) -> tuple[Any, ...]:
    """For INSERT_REGISTRATION; the key stands last."""
    return (
        registration.registration_id.text,
        registration.enrollment.kind.value,
        registration.enrollment.key,
        registration.device_id.text,
        registration.hub,
        registration.status.value,
        None if registration.substatus is None else registration.substatus.value,
        registration.operation_id,
        registration.etag,
        registration.created_at,
        registration.updated_at,
        registration.payload,
        registration.certificate_sha256,
        registration.csr_field,
        registration.error_code,
        registration.error_message,
        registration.registration_id.key,
    )


def registration(row: Row) -> Registration:
    (_, key, text, enrollment_kind, enrollment_key, device_id, hub, status, substatus, *rest) = row
    return Registration(
        RegistrationId(text, key),
        EnrollmentRef(_KINDS[enrollment_kind], enrollment_key),
        DeviceId(device_id),
        hub,
        _STATUSES[status],
        _SUBSTATUSES.get(substatus),
        *rest,
    )


def tpm_proof_values(registration_id: RegistrationId, proof: TpmProof) -> tuple[Any, ...]:
    return registration_id.key, proof.storage_root.area, proof.epoch


def tpm_proof(row: Row) -> TpmProof:
    (storage_root, epoch) = row
    return TpmProof(TpmKey(storage_root), epoch)


def operation_values(operation: Operation) -> tuple[Any, ...]:
    """For INSERT_OPERATION; the id stands last."""
    return (
        operation.registration_id.key,
        operation.registration_id.text,
        operation.enrollment.kind.value,
        operation.enrollment.key,
        operation.enrollment_etag,
        operation.enrollment_generation,
        None if operation.authority is None else operation.authority.text,
        operation.authority_version,
        operation.profile,
        operation.device_id.text,
        operation.hub or "",
        operation.substatus.value,
        operation.csr_der,
        operation.csr_field or "",
        operation.spki_sha256,
        operation.payload,
        operation.bootstrap_certificate,
        operation.tracking_id,
        operation.created_at,
        operation.deadline_at,
        operation.state.value,
        operation.attempt,
        operation.submitted,
        operation.handle,
        operation.lease_owner,
        operation.lease_expires_at,
        operation.fence,
        operation.certificate_sha256,
        operation.error_code,
        operation.error_message,
        operation.key_spelling,
        operation.phase.value,
        operation.old_hub,
        operation.fate.value,
        None if operation.initial_twin is None else _text(operation.initial_twin),
        operation.answer,
        None if operation.data is None else _text(operation.data),
        operation.held_certificate,
        operation.request_id,
        operation.id,
    )


def operation(row: Row) -> Operation:
    (
        operation_id,
        key,
        text,
        enrollment_kind,
        enrollment_key,
        etag,
        generation,
        authority,
        version,
        *rest,
    ) = row
    (profile, device_id, hub, substatus, csr_der, csr_field, spki_sha256, payload, bootstrap, *rest) = rest
    (tracking_id, created_at, deadline_at, state, attempt, submitted, *rest) = rest
    (*rest, phase, old_hub, fate, initial_twin, answer, data, held_certificate, request_id) = rest
    chosen: list[Any] = [
        _PHASES[phase],
        old_hub,
        _FATES[fate],
        None if initial_twin is None else msgspec.json.decode(initial_twin),
        answer,
        None if data is None else msgspec.json.decode(data, type=DeviceData),
        held_certificate,
        request_id,
    ]
    return Operation(
        operation_id,
        RegistrationId(text, key),
        EnrollmentRef(_KINDS[enrollment_kind], enrollment_key),
        etag,
        generation,
        None if authority is None else authority_name(authority),
        version,
        profile,
        DeviceId(device_id),
        hub or None,
        _SUBSTATUSES[substatus],
        csr_der,
        csr_field or None,
        spki_sha256,
        payload,
        bootstrap,
        tracking_id,
        created_at,
        deadline_at,
        _OPERATION_STATES[state],
        attempt,
        bool(submitted),
        *rest,
        *chosen,
    )


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def serial_value(serial: int) -> bytes:
    """Big-endian, of equal length for all that RFC 5280 allows."""
    return serial.to_bytes(max(_SERIAL_BYTES, serial.bit_length() // 8 + 1), "big", signed=True)


def chain_value(above: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """For INSERT_CHAIN: digest and certificates of what stands above a leaf; None when nothing does."""
    if not above:
        return None
    content = packed(above)
    return hashlib.sha256(content).digest(), content


def packed(certificates: Sequence[bytes]) -> bytes:
    """Length-prefixed DER; `chain` reads it back."""
    return b"".join(len(der).to_bytes(4, "big") + der for der in certificates)


def chain(content: bytes) -> tuple[bytes, ...]:
    certificates = []
    at = 0
    while at < len(content):
        end = at + 4 + int.from_bytes(content[at : at + 4], "big")
        certificates.append(content[at + 4 : end])
        at = end
    return tuple(certificates)


def certificate_values(
    record: CertificateRecord, chain_sha256: bytes | None, bound_at: int | None
) -> tuple[Any, ...]:
    """For INSERT_CERTIFICATE; pending from the start when `bound_at` is given."""
    issued = record.issued
    registration_key = record.registration_id.key
    return (
        issued.sha256,
        issued.spki_sha256,
        serial_value(issued.serial),
        record.authority.key,
        record.authority.text,
        record.authority_version,
        record.profile,
        registration_key,
        record.registration_id.text,
        record.device_id.text,
        record.enrollment_generation,
        record.csr_sha256,
        record.operation_id,
        issued.ca_reference,
        issued.not_before,
        issued.not_after,
        record.issued_at,
        issued.leaf,
        chain_sha256,
        None if bound_at is None else "pending",
        bound_at,
        registration_key,
    )


CHAIN_COLUMN = 18
"""Where a certificate's row has the digest of its chain."""


def certificate(row: Row, above: Callable[[bytes | None], tuple[bytes, ...]]) -> CertificateRecord:
    """`above` returns the certificates that the digest of a chain stands for."""
    (_, sha256, spki_sha256, serial, authority, version, profile, key, text, device_id, *rest) = row
    (generation, csr_sha256, operation_id, ca_reference, not_before, not_after, issued_at, *rest) = rest
    (leaf, chain_sha256, binding, revoked_at, reason) = rest
    serial_number = int.from_bytes(serial, "big", signed=True)
    revocation = None
    if revoked_at is not None:
        revocation = Revoked(serial_number, revoked_at, RevocationReason(reason or "unspecified"))
    return CertificateRecord(
        IssuedChain(
            (leaf, *above(chain_sha256)),
            serial_number,
            not_before,
            not_after,
            sha256,
            spki_sha256,
            ca_reference,
        ),
        authority_name(authority),
        version,
        profile,
        RegistrationId(text, key),
        DeviceId(device_id),
        generation,
        csr_sha256,
        operation_id,
        issued_at,
        _certificate_status(binding, revoked_at),
        revocation,
    )


def _certificate_status(binding: str | None, revoked_at: int | None) -> CertificateStatus:
    if revoked_at is not None:
        return CertificateStatus.REVOKED
    return CertificateStatus.UNBOUND if binding is None else _CERTIFICATE_STATUSES[binding]


def binding(row: Row) -> Binding:
    (sha256, device_id, state, not_before, not_after, bound_at) = row
    return Binding(sha256, DeviceId(device_id), _BINDING_STATES[state], not_before, not_after, bound_at)


def leaf_values(leaf: Leaf) -> tuple[Any, ...]:
    return (leaf.kind.value, leaf.authority.text, leaf.sha256, leaf.logged_at, leaf.leaf_hash)


def leaf(row: Row) -> Leaf:
    (_, kind, authority, sha256, logged_at, leaf_hash) = row
    return Leaf(LeafKind(kind), authority_name(authority), sha256, logged_at, leaf_hash)
