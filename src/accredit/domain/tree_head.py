"""A signed tree head: how large the issuance log was at an instant, and its root then.

The signature is Ed25519 (RFC 8032) over `signed_text`. Who keeps a head can tell later whether what it covers was
changed, whatever was done to the database meanwhile.
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from accredit.values import dataclass

_PURPOSE = b"accredit issuance log tree head v1\n"


@dataclass(frozen=True, slots=True)
class TreeHead:
    """`signed_at` is in Unix seconds, `public_key` raw (32 bytes)."""

    size: int
    root: bytes
    signed_at: int
    public_key: bytes
    signature: bytes

    @classmethod
    def sign(cls, size: int, root: bytes, signed_at: int, key: Ed25519PrivateKey) -> TreeHead:
        signature = key.sign(_signed_text(size, root, signed_at))
        return cls(size, root, signed_at, key.public_key().public_bytes_raw(), signature)

    def signed_by(self, public_key: bytes) -> bool:
        """Whether this key (raw) made the signature."""
        try:
            key = Ed25519PublicKey.from_public_bytes(public_key)
            key.verify(self.signature, _signed_text(self.size, self.root, self.signed_at))
        except (InvalidSignature, ValueError):
            return False
        return True


def _signed_text(size: int, root: bytes, signed_at: int) -> bytes:
    return _PURPOSE + struct.pack(">QQ", size, signed_at) + root
