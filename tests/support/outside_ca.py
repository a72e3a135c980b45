"""A certificate authority of somebody else's, that signs whatever a test asks for, right or wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = 1_800_000_000
DAY_S = 86_400
CA = x509.BasicConstraints(ca=True, path_length=None)


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@dataclass
class OutsideCA:
    """`under(...)` makes a CA below this one, `leaf(...)` signs a device."""

    subject: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def root(
        cls, common_name: str = "Outside Root", key: ec.EllipticCurvePrivateKey | None = None
    ) -> OutsideCA:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = name(common_name)
        extensions = [(CA, True)]
        return cls(
            subject, key, sign(subject, key, subject, key.public_key(), extensions, life_s=9_000 * DAY_S)
        )

    def under(
        self,
        common_name: str = "Outside Issuing",
        *,
        constraints: x509.BasicConstraints | None = CA,
        usage: x509.KeyUsage | None = None,
        begins: int = NOW - DAY_S,
        life_s: int = 900 * DAY_S,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> OutsideCA:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = name(common_name)
        extensions: list[tuple[x509.ExtensionType, bool]] = []
        if constraints is not None:
            extensions.append((constraints, True))
        if usage is not None:
            extensions.append((usage, True))
        made = sign(
            self.subject, self.key, subject, key.public_key(), extensions, begins=begins, life_s=life_s
        )
        return OutsideCA(subject, key, made)

    def leaf(
        self,
        public_key,
        common_name: str | None = "device-1",
        *,
        subject: x509.Name | None = None,
        begins: int = NOW,
        life_s: int = 30 * DAY_S,
        extensions=(),
        serial: int | None = None,
    ) -> x509.Certificate:
        if subject is None:
            subject = x509.Name([]) if common_name is None else name(common_name)
        return sign(
            self.subject,
            self.key,
            subject,
            public_key,
            extensions,
            begins=begins,
            life_s=life_s,
            serial=serial,
        )


def sign(
    issuer,
    issuer_key,
    subject,
    public_key,
    extensions,
    *,
    begins: int = NOW - DAY_S,
    life_s: int,
    serial: int | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(begins, UTC))
        .not_valid_after(datetime.fromtimestamp(begins + life_s, UTC))
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(issuer_key, hashes.SHA256())
