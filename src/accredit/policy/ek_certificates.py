"""Whether a certificate is that of a TPM's endorsement key, from a vendor whose certificates the operator has added.

TCG EK Credential Profile for TPM 2.0: an end-entity certificate with the extended key usage tcg-kp-EKCertificate, whose
key encrypts. It proves nothing about a device: that is what the challenge is for. Not evaluated: revocation, and what
the certificate says of the TPM's model.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from accredit.domain.errors import Malformed, UpstreamRejected
from accredit.domain.tpm import RSA_BYTES
from accredit.policy.issuer_path import CLOCK_LEEWAY_S, extension_value, life, path_above

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


def check_vendor(chain: Sequence[bytes], anchors: Sequence[bytes], now: int) -> None:
    """Raise Malformed unless a chain leads from the EK's certificate, the first, to one of the anchors; all DER."""
    leaf, *others = map(x509.load_der_x509_certificate, chain)
    not_before, not_after = life(leaf)
    if not not_before <= now + CLOCK_LEEWAY_S or not now <= not_after:
        raise _untrusted("it is not valid now")
    try:
        path_above(leaf, others, [x509.load_der_x509_certificate(each) for each in anchors], now)
    except UpstreamRejected as broken:
        raise _untrusted(broken.evidence or broken.message) from None


def _other(member: str, what: str, evidence: str = "") -> Malformed:
    return Malformed(f"The certificate in {member} {what}.", rule="ek-certificate-kind", evidence=evidence)


def _untrusted(evidence: str) -> Malformed:
    return Malformed(
        "The endorsement key's certificate does not lead to a TPM vendor's certificate that was added here.",
        rule="ek-certificate-untrusted",
        hint="add the vendor's root, and what stands between, as caCertificates with the purpose tpmVendorRoot; "
        "or enroll the key itself",
        evidence=evidence,
    )
