"""A certificate authority with one verb: `issue`. Everything it makes is right unless the test says what is to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = 1_800_000_000
"""The instant around which certificates are valid by default: a day before to a year after."""

DAY = 86_400

DER = serialization.Encoding.DER

SHA256 = hashes.SHA256()

_serials = count(1000)


def name(common_name: str | None) -> x509.Name:
    return x509.Name([] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Entity:
    """A certificate and its key; issues others, whether it may or not."""

    def __init__(
        self, key: CertificateIssuerPrivateKeyTypes, certificate: x509.Certificate, issuer: Entity | None
    ) -> None:
        self.key = key
        self.certificate = certificate
        self.issuer = issuer

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER, from this one to its root."""
        return (self.der, *(self.issuer.chain if self.issuer else ()))

    def issue(
        self,
        common_name: str | None,
        *,
        ca: bool = False,
        path_length: int | None = None,
        not_before: int = NOW - DAY,
        not_after: int = NOW + 365 * DAY,
        key: CertificateIssuerPrivateKeyTypes | None = None,
        issuer_name: x509.Name | None = None,
        subject: x509.Name | None = None,
        basic: bool = True,
        key_cert_sign: bool | None = None,
        purposes: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        hash_algorithm: hashes.HashAlgorithm | None = SHA256,
    ) -> Entity:
        """A certificate below this one; `ca` makes it an intermediate."""
        own_key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(
            subject=subject if subject is not None else name(common_name),
            issuer_name=self.certificate.subject if issuer_name is None else issuer_name,
            key=own_key,
            signing_key=self.key,
            ca=ca,
            path_length=path_length,
            lifetime=(not_before, not_after),
            basic=basic,
            key_cert_sign=ca if key_cert_sign is None else key_cert_sign,
            purposes=None if ca and purposes == (ExtendedKeyUsageOID.CLIENT_AUTH,) else purposes,
            extensions=extensions,
            hash_algorithm=hash_algorithm,
        )
        return Entity(own_key, certificate, self)

    def intermediate(self, common_name: str, path_length: int | None = None) -> Entity:
        return self.issue(common_name, ca=True, path_length=path_length)


def with_sha1(entity: Entity) -> bytes:
    """DER of the same certificate, but for the digest under its RSA issuer's signature, which is put together by hand."""
    oids = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    assert entity.issuer is not None
    key, certificate = entity.issuer.key, entity.certificate
    assert isinstance(key, RSAPrivateKey)
    signature = key.sign(certificate.tbs_certificate_bytes.replace(*oids), padding.PKCS1v15(), hashes.SHA1())
    return entity.der.replace(*oids).replace(certificate.signature, signature)


def root(
    common_name: str,
    *,
    path_length: int | None = None,
    not_before: int = NOW - DAY,
    not_after: int = NOW + 3650 * DAY,
    key: CertificateIssuerPrivateKeyTypes | None = None,
    ca: bool = True,
    purposes: Sequence[x509.ObjectIdentifier] | None = None,
    hash_algorithm: hashes.HashAlgorithm | None = SHA256,
) -> Entity:
    """A self-signed certificate: a root, or with `ca=False` a device's own."""
    own_key = key or ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(
        subject=name(common_name),
        issuer_name=name(common_name),
        key=own_key,
        signing_key=own_key,
        ca=ca,
        path_length=path_length,
        lifetime=(not_before, not_after),
        basic=True,
        key_cert_sign=ca,
        purposes=purposes,
        extensions=(),
        hash_algorithm=hash_algorithm,
    )
    return Entity(own_key, certificate, None)


def _certificate(
    *,
    subject: x509.Name,
    issuer_name: x509.Name,
    key: CertificateIssuerPrivateKeyTypes,
    signing_key: CertificateIssuerPrivateKeyTypes,
    ca: bool,
    path_length: int | None,
    lifetime: tuple[int, int],
    basic: bool,
    key_cert_sign: bool,
    purposes: Sequence[x509.ObjectIdentifier] | None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    hash_algorithm: hashes.HashAlgorithm | None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(next(_serials))
        .not_valid_before(datetime.fromtimestamp(lifetime[0], UTC))
        .not_valid_after(datetime.fromtimestamp(lifetime[1], UTC))
        .add_extension(_usage(key_cert_sign=key_cert_sign), critical=True)
    )
    if basic:
        constraints = x509.BasicConstraints(ca=ca, path_length=path_length if ca else None)
        builder = builder.add_extension(constraints, critical=True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signing_key, hash_algorithm)  # type: ignore[arg-type]


def _usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
