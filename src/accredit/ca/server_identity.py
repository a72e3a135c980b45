"""The service's own TLS identity: its root, which clients are told to trust, and the server certificate below it.

The root stays for twenty years; the server certificate is made anew when a third of its life is left or the host
names change, so devices never notice (contract, *Network*). Profiles follow RFC 5280 and what strict clients check:
key identifiers on both, critical basic constraints and key usage, names in the SAN alone, at most 397 days.

Keys never leave here but as a `Secret`. Device certificates are another CA's business.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accredit.domain.secret import Secret
from accredit.values import dataclass

ROOT_LIFE_S = 20 * 365 * 86_400
SERVER_LIFE_S = 397 * 86_400
BACKDATE_S = 86_400
"""Device clocks are often behind: a certificate made today must hold for one that believes it is yesterday."""

MAX_PEM_BYTES = 64 * 1024
MAX_COMMON_NAME_CHARS = 64

_DNS_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")

ServerKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class TLSRoot:
    """What clients trust. `certificate` is public, `key` signs server certificates only."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def secret(self) -> Secret:
        """Key and certificate as one value for the store."""
        return Secret(_key_pem(self.key) + self.pem())

    @classmethod
    def read(cls, secret: Secret) -> TLSRoot:
        key, chain = _read(secret.reveal(), secret.reveal())
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the TLS root has no EC key")  # noqa: TRY004 - what was stored is at fault
        return cls(chain[0], key)


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What the listeners show: `chain` is the server certificate, then the intermediates, without a root."""

    chain: tuple[x509.Certificate, ...]
    key: ServerKey

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    def secret(self) -> Secret:
        """Key and chain as one value for the store."""
        pems = (each.public_bytes(serialization.Encoding.PEM) for each in self.chain)
        return Secret(_key_pem(self.key) + b"".join(pems))

    @classmethod
    def read(cls, secret: Secret) -> ServerIdentity:
        return cls.from_pem(secret.reveal(), secret.reveal())

    @classmethod
    def from_pem(cls, chain_pem: bytes, key_pem: bytes) -> ServerIdentity:
        """An operator's own files: certificate first, then intermediates; the key unencrypted.

        Raises ValueError with one sentence that says what is wrong.
        """
        key, chain = _read(chain_pem, key_pem)
        if chain[0].public_key() != key.public_key():
            raise ValueError("the private key does not belong to the first certificate of the file")
        return cls(chain, key)

    def renewal_reason(self, names: Sequence[str], now: int) -> str | None:
        """Why a new certificate is due, or None: a third of its life is left, or it lacks a wanted name."""
        return due(self.certificate, now) or uncovered(self.certificate, names)


def make_root(common_name: str, now: int) -> TLSRoot:
    """A self-signed P-256 root for twenty years that can sign server certificates, but no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    usage = _key_usage(signs_certificates=True)
    builder = _builder(name, name, key.public_key(), now, ROOT_LIFE_S)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return TLSRoot(builder.sign(key, hashes.SHA256()), key)


def make_server(root: TLSRoot, names: Sequence[str], now: int) -> ServerIdentity:
    """A server certificate for these host names and IP addresses, with a fresh P-256 key.

    Raises ValueError for a name that is neither.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    general_names = [general_name(name) for name in names]
    if not general_names:
        raise ValueError("a server certificate needs at least one host name")
    issuer = root.certificate
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    life_s = min(SERVER_LIFE_S, int(issuer.not_valid_after_utc.timestamp()) - (now - BACKDATE_S))
    builder = _builder(_name(names[0]), issuer.subject, key.public_key(), now, life_s)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(general_names), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = builder.add_extension(authority, critical=False)
    return ServerIdentity((builder.sign(root.key, hashes.SHA256()),), key)


def due(certificate: x509.Certificate, now: int) -> str | None:
    """Whether a third of the certificate's life, or less, is left (or it is not valid yet)."""
    start = int(certificate.not_valid_before_utc.timestamp())
    end = int(certificate.not_valid_after_utc.timestamp())
    if now < start:
        return "the server certificate is not valid yet"
    if end - now <= (end - start) / 3:
        return "two thirds of the server certificate's life are over"
    return None


def uncovered(certificate: x509.Certificate, names: Sequence[str]) -> str | None:
    """Which of the wanted names the certificate does not carry, literally or by a wildcard of its first label."""
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "the server certificate has no subject alternative name"
    addresses = set(held.get_values_for_type(x509.IPAddress))
    hosts = {host.lower() for host in held.get_values_for_type(x509.DNSName)}
    for name in names:
        wanted = general_name(name)
        if isinstance(wanted, x509.IPAddress):
            if wanted.value not in addresses:
                return f"the server certificate does not cover {name}"
        elif wanted.value not in hosts and "*." + wanted.value.partition(".")[2] not in hosts:
            return f"the server certificate does not cover {name}"
    return None


def general_name(name: str) -> x509.DNSName | x509.IPAddress:
    """A host name (lower-cased) or IP address as it goes into a SAN. Raises ValueError."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    host = name.lower()
    labels = host.removeprefix("*.").split(".")
    if len(host) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{name[:260]!r} is neither an IP address nor a host name")
    return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: int, life_s: int
) -> x509.CertificateBuilder:
    start = now - BACKDATE_S
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(datetime.fromtimestamp(start, UTC))
    # RFC 5280 4.1.2.5: both ends are included, so a life of n seconds ends at its n-th second less one.
    builder = builder.not_valid_after(datetime.fromtimestamp(start + life_s - 1, UTC))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _name(common_name: str) -> x509.Name:
    if len(common_name) > MAX_COMMON_NAME_CHARS:
        common_name = "accredit"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ServerKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(chain_pem: bytes, key_pem: bytes) -> tuple[ServerKey, tuple[x509.Certificate, ...]]:
    if max(len(chain_pem), len(key_pem)) > MAX_PEM_BYTES:
        raise ValueError("a PEM file of more than 64 KiB is not read")
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("the key file does not hold an unencrypted PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("the server key is neither RSA nor EC")  # noqa: TRY004 - the file's content is at fault
    try:
        chain = tuple(x509.load_pem_x509_certificates(chain_pem))
    except ValueError as error:
        raise ValueError("the certificate file does not hold PEM certificates") from error
    return key, chain
