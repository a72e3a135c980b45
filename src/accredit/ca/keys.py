"""The built-in CA's private keys: P-256, kept as PKCS#8 DER inside a Secret (RFC 5915, RFC 5958).

The same key always encodes to the same bytes. Sealing at rest is the store's matter, not this file's.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from accredit.domain.secret import Secret


def generate() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key; its randomness is OpenSSL's own, not the `Entropy` that is handed around."""
    return ec.generate_private_key(ec.SECP256R1())


def encode(key: ec.EllipticCurvePrivateKey) -> Secret:
    return Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def load(secret: Secret) -> ec.EllipticCurvePrivateKey:
    """Raise ValueError when the secret is not a P-256 key in PKCS#8."""
    key = load_der_private_key(secret.reveal(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the key is not a P-256 key")  # noqa: TRY004 - what was stored is at fault
    return key
