"""Whether a certificate is that of a TPM's endorsement key.

TCG EK Credential Profile for TPM 2.0: an end-entity certificate with the extended key usage tcg-kp-EKCertificate, whose
key encrypts. It proves nothing about a device: that is what the challenge is for. Not evaluated: revocation, and what
the certificate says of the TPM's model.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from accredit.domain.errors import Malformed
from accredit.domain.tpm import RSA_BYTES
from accredit.policy.issuer_path import extension_value

EK_CERTIFICATE = x509.ObjectIdentifier("2.23.133.8.1")
"""tcg-kp-EKCertificate."""

_EXPONENT = 65_537


def modulus_of(certificate: bytes, member: str) -> bytes:
    """The modulus of the key in an EK certificate (DER, readable). Raises Malformed for any other kind of certificate."""
    ek = x509.load_der_x509_certificate(certificate)
    try:
        key = ek.public_key()
        usage, purposes, constraints = (
            extension_value(ek, x509.KeyUsage),
            extension_value(ek, x509.ExtendedKeyUsage),
            extension_value(ek, x509.BasicConstraints),
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _other(member, "has a key or extension that can't be read", str(error)[:200]) from None
    if not isinstance(key, RSAPublicKey) or key.key_size != RSA_BYTES * 8:
        raise _other(member, "is not that of an RSA-2048 key")
    numbers = key.public_numbers()
    if numbers.e != _EXPONENT:
        raise _other(member, "is not that of an RSA key with the exponent 65537")
    if constraints is not None and constraints.ca:
        raise _other(member, "is the certificate of a CA")
    if purposes is not None and EK_CERTIFICATE not in purposes:
        raise _other(member, "is for other purposes than an endorsement key")
    if usage is not None and not usage.key_encipherment:
        raise _other(member, "is not that of a key that encrypts")
    return numbers.n.to_bytes(RSA_BYTES, "big")


def _other(member: str, what: str, evidence: str = "") -> Malformed:
    return Malformed(f"The certificate in {member} {what}.", rule="ek-certificate-kind", evidence=evidence)
