"""The two certificates above the leaves: a root, and the issuing CA that signs devices (RFC 5280, 4.2.1).

The root signs one thing, the issuing CA, so that its key can be taken away from the service later. Leaves are made in
`template.py`. Names carry a random tag: a CA that is removed and made anew is never taken for the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accredit.ca import keys
from accredit.ca.points import Points
from accredit.interfaces import Entropy
from accredit.values import dataclass

YEAR_S = 31_557_600
ROOT_VALIDITY_S = 20 * YEAR_S
ISSUING_VALIDITY_S = 5 * YEAR_S
BACKDATE_S = 3600
"""A device whose clock is somewhat behind accepts a chain that has just been made."""

_NAME_CHARS = 40

Maker = Callable[[str, str], Any]
"""Makes a private key of an algorithm for the CA of a common name."""


def in_software(algorithm: str, _: str) -> Any:
    """The `Maker` of keys that are kept here."""
    return keys.generate(algorithm)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA certificate and its private key."""

    certificate: x509.Certificate
    key: Any

    @property
    def algorithm(self) -> keys.Algorithm:
        return keys.algorithm_of(self.key)

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


def make(
    name: str,
    now: int,
    entropy: Entropy,
    algorithm: str = keys.DEFAULT,
    base: str | None = None,
    makers: tuple[Maker, Maker] = (in_software, in_software),
) -> Hierarchy:
    """Make new keys and certificates for a CA of this name; `now` is in Unix seconds.

    `base` is the public address, where others find what the root revoked. `makers` are the root's and the issuing CA's.
    """
    root_name = f"{stem_of(name)} root {entropy.token(4).hex()}"
    root = make_root(root_name, now, entropy, path_length=1, algorithm=algorithm, maker=makers[0])
    return Hierarchy(root, make_issuing(root, name, now, entropy, algorithm, base, makers[1]))


def stem_of(name: str) -> str:
    """What a CA's common names begin with; there is room for what follows in 64 characters."""
    return name[:_NAME_CHARS]


def make_root(
    common_name: str,
    now: int,
    entropy: Entropy,
    *,
    path_length: int,
    validity_s: int = ROOT_VALIDITY_S,
    algorithm: str = keys.DEFAULT,
    maker: Maker = in_software,
) -> Issuer:
    """Make a self-signed CA. `common_name` has at most 64 characters."""
    key = maker(algorithm, common_name)
    subject = _name(common_name)
    builder = _builder(subject, key.public_key(), path_length, entropy, answers=False).issuer_name(subject)
    certificate = _lived(builder, now, now + validity_s).sign(key, keys.algorithm_of(key).digest)
    return Issuer(certificate, key)


def join(certificate: x509.Certificate, key: Any) -> Issuer:
    """A CA certificate with its key. Raises ValueError when they don't belong together."""
    if certificate.public_key() != key.public_key():
        raise ValueError("the key is not the certificate's")
    return Issuer(certificate, key)


def serial_number(entropy: Entropy) -> int:
    """A positive serial of always 16 octets with 126 random bits (RFC 5280, 4.1.2.2, asks for at most 20 octets)."""
    return int.from_bytes(entropy.token(16), "big") & ((1 << 126) - 1) | 1 << 126


def make_issuing(
    root: Issuer,
    name: str,
    now: int,
    entropy: Entropy,
    algorithm: str,
    base: str | None,
    maker: Maker = in_software,
) -> Issuer:
    """Make a new issuing CA under a root that is at hand."""
    common_name = issuing_name(name, entropy)
    key = maker(algorithm, common_name)
    root_key_id = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(_name(common_name), key.public_key(), 0, entropy, answers=True)
        .issuer_name(root.certificate.subject)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_key_id), critical=False
        )
    )
    if base is not None:
        points = Points(base, root_key_id.digest.hex())
        builder = builder.add_extension(points.root_access(), critical=False)
        builder = builder.add_extension(points.root_distribution(), critical=False)
    not_after = min(now + ISSUING_VALIDITY_S, root.not_after)
    return Issuer(_lived(builder, now, not_after).sign(root.key, root.algorithm.digest), key)


def issuing_name(name: str, entropy: Entropy) -> str:
    return f"{stem_of(name)} issuing {entropy.token(4).hex()}"


def signing_request(
    name: str, entropy: Entropy, algorithm: str, maker: Maker = in_software
) -> tuple[Any, str]:
    """A key for an issuing CA that somebody else shall sign, and its CSR as PEM."""
    common_name = issuing_name(name, entropy)
    key = maker(algorithm, common_name)
    usage = _usage(answers=True)
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(common_name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, keys.algorithm_of(key).digest)
    )
    return key, csr.public_bytes(Encoding.PEM).decode("ascii")


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, key: Any, path_length: int, entropy: Entropy, *, answers: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(serial_number(entropy))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(answers=answers), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, answers: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
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


def _lived(builder: x509.CertificateBuilder, now: int, not_after: int) -> x509.CertificateBuilder:
    return builder.not_valid_before(datetime.fromtimestamp(now - BACKDATE_S, UTC)).not_valid_after(
        datetime.fromtimestamp(not_after, UTC)
    )
