"""What was issued, as our listings show it (an extension: `/certificates`, `/issuanceLog/leaves`)."""

from __future__ import annotations

import re
from typing import Any

from accredit.domain.credential import CertificateRecord, CertificateStatus
from accredit.domain.errors import Malformed
from accredit.domain.issuance_log import Leaf
from accredit.wire.instants import iso
from accredit.wire.service_api.certificates import instant, pem, serial_hex

_NAME = re.compile(r"[0-9A-Fa-f]{1,40}|[0-9A-Fa-f]{64}")
_SHA256_CHARS = 64


def read_serial(text: str) -> int | bytes:
    """A serial number in hex, or the certificate's SHA-256: a serial has 20 octets at most (RFC 5280, 4.1.2.2)."""
    if not _NAME.fullmatch(text):
        raise Malformed("The certificate is not named by a serial number or SHA-256 in hex.", rule="serial")
    return bytes.fromhex(text) if len(text) == _SHA256_CHARS else int(text, 16)


def status_of(record: CertificateRecord, now: float) -> CertificateStatus:
    """The recorded status, unless the clock has overtaken it; a revoked certificate stays revoked."""
    if record.status is not CertificateStatus.REVOKED and record.issued.not_after < now:
        return CertificateStatus.EXPIRED
    return record.status


def certificate_document(record: CertificateRecord, now: float) -> dict[str, Any]:
    """One certificate, with its chain as PEM, leaf first."""
    issued = record.issued
    return {
        "serial": serial_hex(issued.serial),
        "sha256": issued.sha256.hex(),
        "authority": record.authority.text,
        "registrationId": record.registration_id.text,
        "deviceId": record.device_id.text,
        "status": status_of(record, now).value,
        "notBefore": instant(issued.not_before),
        "notAfter": instant(issued.not_after),
        "issuedAt": iso(record.issued_at),
        "enrollmentGeneration": record.enrollment_generation,
        "certificate": "".join(pem(der) for der in issued.chain),
    } | _revoked(record)


def _revoked(record: CertificateRecord) -> dict[str, Any]:
    if record.revocation is None:
        return {}
    return {
        "revokedAt": iso(record.revocation.revoked_at),
        "revocationReason": record.revocation.reason.value,
    }


def leaf_document(leaf: Leaf) -> dict[str, Any]:
    """One entry of the issuance log."""
    return {
        "kind": leaf.kind.name.lower(),
        "authority": leaf.authority.text,
        "sha256": leaf.sha256.hex(),
        "loggedAt": leaf.logged_at,
        "leafHash": leaf.leaf_hash.hex(),
    }
