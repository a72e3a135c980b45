"""A TPM vendor that certifies endorsement keys (TCG EK Credential Profile for TPM 2.0)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.tpm import TpmKey
from accredit.policy.ek_certificates import EK_CERTIFICATE
from support import pki

_MANUFACTURER = x509.ObjectIdentifier("2.23.133.2.1")


def certified(
    vendor: pki.Entity,
    key: Any,
    *,
    purposes: tuple[x509.ObjectIdentifier, ...] | None = (EK_CERTIFICATE,),
    encrypts: bool | None = True,
    ca: bool = False,
    not_before: int = pki.NOW - pki.DAY,
    not_after: int = pki.NOW + 3650 * pki.DAY,
) -> x509.Certificate:
    """An EK certificate as vendors make it: without a subject, the TPM's make in a critical alternative name."""
    make = x509.DirectoryName(x509.Name([x509.NameAttribute(_MANUFACTURER, "id:414D4400")]))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(vendor.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .add_extension(x509.SubjectAlternativeName([make]), critical=True)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if encrypts is not None:
        usage = x509.KeyUsage(
            digital_signature=not encrypts, content_commitment=False, key_encipherment=encrypts,
            data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    assert isinstance(vendor.key, ec.EllipticCurvePrivateKey)
    return builder.sign(vendor.key, SHA256())


def certified_key(vendor: pki.Entity, endorsement: TpmKey, **more: Any) -> x509.Certificate:
    modulus = int.from_bytes(endorsement.modulus, "big")
    return certified(vendor, rsa.RSAPublicNumbers(65_537, modulus).public_key(), **more)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def base64_der(certificate: x509.Certificate) -> str:
    return base64.b64encode(der(certificate)).decode()
