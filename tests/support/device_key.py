"""A device's own key and what it makes of it: a CSR, a self-signed certificate, files as SDKs, curl and openssl want them."""

from __future__ import annotations

import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support import pki, signing_requests

DAY = 86_400


class DeviceKey:
    """A key of its own for `registration_id`, in `folder`; P-256 unless another is given."""

    def __init__(self, registration_id: str, folder: Path, private: Any = None) -> None:
        self.registration_id = registration_id
        self.private = private or ec.generate_private_key(ec.SECP256R1())
        self._folder = folder / registration_id
        self._folder.mkdir(parents=True, exist_ok=True)
        self.file = self._folder / "device.key"
        self.file.write_bytes(self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def csr(
        self,
        common_name: str | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> str:
        """A CSR in PEM for this device, or for another name."""
        request = signing_requests.csr(common_name or self.registration_id, self.private, extensions)
        return signing_requests.pem(request)

    def self_signed(self, ends_in_s: int = 30 * DAY) -> pki.Entity:
        """A certificate that nobody but the device vouches for."""
        now = int(time.time())
        return pki.root(
            self.registration_id,
            key=self.private,
            ca=False,
            not_before=now - 2 * DAY,
            not_after=now + ends_in_s,
        )

    def issued_by(self, issuer: pki.Entity) -> pki.Entity:
        """A certificate for this key from an authority of the test's."""
        now = int(time.time())
        return issuer.issue(
            self.registration_id, key=self.private, not_before=now - DAY, not_after=now + 30 * DAY
        )

    def write(self, pem: str, name: str = "device.pem") -> Path:
        """Put a certificate, with or without its chain, beside the key."""
        path = self._folder / name
        path.write_text(pem)
        return path


def authority(common_name: str) -> pki.Entity:
    """A root that is valid now."""
    now = int(time.time())
    return pki.root(common_name, not_before=now - DAY, not_after=now + 3650 * DAY)


def below(issuer: pki.Entity, common_name: str) -> pki.Entity:
    """An intermediate that is valid now."""
    now = int(time.time())
    return issuer.issue(common_name, ca=True, not_before=now - DAY, not_after=now + 1000 * DAY)


def derived_key(master: str, registration_id: str) -> str:
    """Azure's derivation of a device key from a group's, by hand: both are base64."""
    return b64encode(hmac.digest(b64decode(master), registration_id.encode(), "sha256")).decode()
