"""A simulated device's own secrets: its symmetric key, and the key pairs it makes requests for (RFC 2986)."""

from __future__ import annotations

import hmac
from base64 import b64encode
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def derived(group_key: bytes, registration_id: str) -> str:
    """The device key of a group, in base64."""
    return b64encode(hmac.digest(group_key, registration_id.encode(), "sha256")).decode()


class KeyPair:
    """A P-256 key and the request for its certificate; `files` hold the key, and the chain once there is one."""

    def __init__(self, registration_id: str, folder: Path, number: str) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, registration_id)])
        self._request = (
            x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.private, hashes.SHA256())
        )
        self.files = (folder / f"{number}.pem", folder / f"{number}.key")

    @property
    def csr(self) -> str:
        """PEM."""
        return self._request.public_bytes(Encoding.PEM).decode()

    def broken_csr(self) -> str:
        """The same with another signature, as base64 of its DER."""
        der = bytearray(self._request.public_bytes(Encoding.DER))
        der[-1] ^= 1
        return b64encode(bytes(der)).decode()

    def keep(self, chain: list[x509.Certificate]) -> None:
        """Write what `ssl` can only read from files."""
        certificates, key = self.files
        certificates.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        key.touch(mode=0o600)
        key.write_bytes(self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
