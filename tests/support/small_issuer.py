"""A small CA of its own, root and intermediate on P-256, for the fakes of outside CAs. It signs whatever it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


class Issuer:
    """A root and an intermediate, P-256."""

    def __init__(self, name: str, now: float) -> None:
        begins = datetime.fromtimestamp(int(now), UTC) - timedelta(days=1)
        root_key, self.key = new_key(), new_key()
        self.root = self._authority(f"{name} Root", root_key, f"{name} Root", root_key, begins, None)
        self.intermediate = self._authority(f"{name} CA", self.key, f"{name} Root", root_key, begins, 0)

    def _authority(self, name, key, issuer, issuer_key, begins, path_length) -> x509.Certificate:
        builder = self._builder(
            name, key.public_key(), issuer, issuer_key, begins, begins + timedelta(days=3650)
        )
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )
        return builder.add_extension(_usage(ca=True), critical=True).sign(issuer_key, hashes.SHA256())

    def leaf(
        self, name, public_key, begins: datetime, ends: datetime, *, ca: bool = False
    ) -> x509.Certificate:
        builder = self._builder(
            name, public_key, self.intermediate.subject.rfc4514_string()[3:], self.key, begins, ends
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.add_extension(_usage(ca=ca), critical=True)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return builder.add_extension(usage, critical=False).sign(self.key, hashes.SHA256())

    @staticmethod
    def _builder(name, public_key, issuer, issuer_key, begins, ends) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip
