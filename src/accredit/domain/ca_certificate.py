"""CA certificates that an operator uploads: what enrollments refer to by name, and what a TPM's vendor signs with."""

from __future__ import annotations

from enum import StrEnum

from accredit.domain.ids import CaCertificateName
from accredit.values import dataclass


class Purpose(StrEnum):
    """What a CA certificate vouches for: devices by their client certificates, or TPMs by those of their endorsement keys."""

    X509 = "x509"
    TPM_VENDOR_ROOT = "tpmVendorRoot"


@dataclass(frozen=True, slots=True)
class VerificationCode:
    """What has to stand as common name in a certificate that the CA signs, until `ends_at`."""

    text: str
    ends_at: int


@dataclass(frozen=True, slots=True)
class CaCertificate:
    """`certificate` is DER. `verified`: the operator holds its key, or says that it is to be trusted; else it proves nothing.

    Instants are Unix seconds.
    """

    name: CaCertificateName
    certificate: bytes
    purpose: Purpose
    verified: bool
    etag: str
    created_at: int
    updated_at: int
    code: VerificationCode | None = None
