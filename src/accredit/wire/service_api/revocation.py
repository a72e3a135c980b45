"""The revoke call's documents: the reason that is sent, and the receipt of what was done (an extension)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from accredit.domain.credential import CertificateRecord, RevocationReason
from accredit.domain.errors import Malformed
from accredit.wire.instants import iso
from accredit.wire.service_api.certificates import serial_hex
from accredit.wire.service_api.documents import read

_REASONS = {reason.value.lower(): reason for reason in RevocationReason}


class RevokeDocument(msgspec.Struct, rename="camel"):
    """`reason` is a CRLReason by its name (RFC 5280, 5.3.1)."""

    reason: str = RevocationReason.UNSPECIFIED.value


class CertificateRevoked(msgspec.Struct, rename="camel"):
    """`atAuthority`: `revoked`, or `pending` while its CA has not answered."""

    serial: str
    authority: str
    at_authority: str


class ReceiptShown(msgspec.Struct, rename="camel"):
    """What a revocation did. `hub` is where the identity was switched off, `enrollment` what was."""

    registration_id: str
    reason: str
    revoked_at: str
    enrollment: str | None
    certificates: list[CertificateRevoked]
    hub: str | None
    connection_cut: bool


def read_reason(body: bytes) -> RevocationReason:
    """The reason of a revoke call; no body is `unspecified`. Raises Malformed."""
    document = read(body, RevokeDocument) if body.strip() else RevokeDocument()
    return reason_named(document.reason)


def reason_named(name: str) -> RevocationReason:
    """A reason by its name, in any case. Raises Malformed."""
    reason = _REASONS.get(name.lower())
    if reason is None:
        allowed = ", ".join(each.value for each in RevocationReason)
        raise Malformed(f"reason is not one of {allowed}.", rule="revocation-reason")
    return reason


def revoked_certificate(record: CertificateRecord, *, settled: bool) -> CertificateRevoked:
    state = "revoked" if settled else "pending"
    return CertificateRevoked(serial_hex(record.issued.serial), record.authority.text, state)


def receipt_document(
    registration_id: str,
    reason: RevocationReason,
    revoked_at: int,
    enrollment: str | None,
    certificates: Iterable[CertificateRevoked],
    hub: str | None,
    *,
    connection_cut: bool,
) -> dict[str, Any]:
    shown = ReceiptShown(
        registration_id, reason.value, iso(revoked_at), enrollment, list(certificates), hub, connection_cut
    )
    members: dict[str, Any] = msgspec.to_builtins(shown)
    return members
