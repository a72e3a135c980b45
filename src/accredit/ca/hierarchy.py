"""The two certificates above the leaves: a root, and the issuing CA that signs devices (RFC 5280, 4.2.1).

The root signs one thing, the issuing CA, so that its key can be taken away from the service later. Leaves are made in
`template.py`. Names carry a random tag: a CA that is removed and made anew is never taken for the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accredit.ca import keys
from accredit.domain.authority import AuthorityRecord
from accredit.domain.secret import Secret
from accredit.interfaces import Entropy

YEAR_S = 31_557_600
ROOT_VALIDITY_S = 20 * YEAR_S
ISSUING_VALIDITY_S = 5 * YEAR_S
BACKDATE_S = 3600
"""A device whose clock is somewhat behind accepts a chain that has just been made."""

_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def not_before(self) -> int:
        return int(self.certificate.not_valid_before_utc.timestamp())

    @property
    def not_after(self) -> int:
        return int(self.certificate.not_valid_after_utc.timestamp())


@dataclass(frozen=True, slots=True)
class Hierarchy:
    root: Issuer
    issuing: Issuer


def make(name: str, now: int, entropy: Entropy) -> Hierarchy:
    """Make new keys and certificates for a CA of this name; `now` is in Unix seconds."""
    stem, tag = name[:_NAME_CHARS], entropy.token(4).hex()
    root = make_root(f"{stem} root {tag}", now, entropy, path_length=1)
    issuing = _make_issuing(root, f"{stem} issuing {tag}", now, entropy)
    return Hierarchy(root, issuing)


def make_root(
    common_name: str, now: int, entropy: Entropy, *, path_length: int, validity_s: int = ROOT_VALIDITY_S
) -> Issuer:
    """Make a self-signed CA. `common_name` has at most 64 characters."""
    key = keys.generate()
    subject = _name(common_name)
    builder = _builder(subject, key.public_key(), path_length, entropy, answers=False).issuer_name(subject)
    certificate = _lived(builder, now, now + validity_s).sign(key, hashes.SHA256())
    return Issuer(certificate, key)


def load(certificate: x509.Certificate, key: Secret) -> Issuer:
    """Join a CA certificate with its key. Raises ValueError when they don't belong together."""
    private = keys.load(key)
    if certificate.public_key() != private.public_key():
        raise ValueError("the key is not the certificate's")
    return Issuer(certificate, private)


def load_issuing(record: AuthorityRecord) -> Issuer:
    """The issuing CA of a built-in authority's record. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(record.settings["certificates"][0].encode())
    return load(certificate, record.secrets["issuingKey"])


def serial_number(entropy: Entropy) -> int:
    """A positive serial of always 16 octets with 126 random bits (RFC 5280, 4.1.2.2, asks for at most 20 octets)."""
    return int.from_bytes(entropy.token(16), "big") & ((1 << 126) - 1) | 1 << 126


def _make_issuing(root: Issuer, common_name: str, now: int, entropy: Entropy) -> Issuer:
    key = keys.generate()
    root_key_id = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(_name(common_name), key.public_key(), 0, entropy, answers=True)
        .issuer_name(root.certificate.subject)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_key_id), critical=False
        )
    )
    not_after = min(now + ISSUING_VALIDITY_S, root.not_after)
    return Issuer(_lived(builder, now, not_after).sign(root.key, hashes.SHA256()), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, path_length: int, entropy: Entropy, *, answers: bool
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        # RFC 5280, 4.2.1.3: of a CA that signs OCSP answers itself.
        digital_signature=answers,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(serial_number(entropy))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _lived(builder: x509.CertificateBuilder, now: int, not_after: int) -> x509.CertificateBuilder:
    return builder.not_valid_before(datetime.fromtimestamp(now - BACKDATE_S, UTC)).not_valid_after(
        datetime.fromtimestamp(not_after, UTC)
    )
