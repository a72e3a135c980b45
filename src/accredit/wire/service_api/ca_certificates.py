"""Uploaded CA certificates (an extension: `/caCertificates/{name}`; in Azure they are resources of the subscription's API).

`isVerified` and the verification code have Azure's names. Whether a certificate that is shown proves anything is judged
in `policy/possession.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.ca_certificate import CaCertificate, Purpose
from accredit.domain.errors import Malformed
from accredit.values import dataclass
from accredit.wire.instants import iso
from accredit.wire.service_api.certificates import certificate_der, certificate_info, is_ca, pem
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.etags import quoted

_PURPOSES = {purpose.value.lower(): purpose for purpose in Purpose}


class CaCertificateDocument(msgspec.Struct, rename="camel"):
    """What PUT takes. `isVerified`: trust it without a proof of possession."""

    certificate: str
    purpose: str | None = None
    is_verified: bool | None = None


class VerificationDocument(msgspec.Struct):
    """What `verify` takes: a certificate that the CA signed, with the verification code as its common name."""

    certificate: str


@dataclass(frozen=True, slots=True)
class CaCertificateSent:
    """`verified` is None where nothing was said of it."""

    certificate: bytes
    purpose: Purpose
    verified: bool | None


def read_ca_certificate(body: bytes) -> CaCertificateSent:
    """One CA's certificate, in PEM or base64 DER."""
    document = read(body, CaCertificateDocument)
    purpose = _PURPOSES.get((document.purpose or Purpose.X509).lower())
    if purpose is None:
        raise Malformed(f"purpose is not one of {', '.join(Purpose)}.", rule="ca-certificate-purpose")
    der = certificate_der(document.certificate, "certificate")
    if not is_ca(der):
        raise Malformed(
            "certificate is not a CA certificate (its basicConstraints do not say CA).",
            rule="signing-not-a-ca",
        )
    return CaCertificateSent(der, purpose, document.is_verified)


def read_verification(body: bytes) -> bytes:
    """The DER of the certificate that is to prove possession."""
    return certificate_der(read(body, VerificationDocument).certificate, "certificate")


def ca_certificate_document(record: CaCertificate, *, code_shown: bool = False) -> dict[str, Any]:
    """As answers show it; the verification code only in the answer that made it."""
    code = record.code if code_shown else None
    members = {
        "name": record.name.text,
        "certificate": pem(record.certificate),
        "info": certificate_info(record.certificate),
        "purpose": record.purpose.value,
        "isVerified": record.verified,
        "verificationCode": None if code is None else code.text,
        "verificationCodeExpiryUtc": None if code is None else iso(code.ends_at),
        "etag": quoted(record.etag),
        "createdDateTimeUtc": iso(record.created_at),
        "lastUpdatedDateTimeUtc": iso(record.updated_at),
    }
    return {member: value for member, value in members.items() if value is not None}
