"""ES256 keys and signatures in the JSON forms that CAs ask for: JWK (RFC 7517), its thumbprint (RFC 7638), JWS (RFC 7515).

P-256 only: what step-ca's provisioners and ACME accounts have by default. It verifies nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_OCTETS = 32
_PEM = b"-----BEGIN"


class BadKey(ValueError):
    """The text is no private key of P-256; its words repeat nothing of it."""


class _PrivateJWK(msgspec.Struct):
    kty: str
    crv: str
    d: str
    kid: str | None = None


class SigningKey:
    """A private key, and how it is called."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, kid: str | None = None) -> None:
        self._private = private
        numbers = private.public_key().public_numbers()
        self.public: Mapping[str, str] = {
            "crv": "P-256",
            "kty": "EC",
            "x": encoded(numbers.x.to_bytes(_OCTETS, "big")),
            "y": encoded(numbers.y.to_bytes(_OCTETS, "big")),
        }
        self.thumbprint = encoded(sha256(msgspec.json.encode(self.public)).digest())
        self.kid = kid or self.thumbprint

    @classmethod
    def read(cls, text: bytes) -> SigningKey:
        """From a JWK's JSON or from PEM, both unencrypted. Raises BadKey."""
        try:
            private, kid = _of_pem(text) if text.lstrip().startswith(_PEM) else _of_jwk(text)
        except (ValueError, TypeError, RecursionError):
            private, kid = None, None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != ec.SECP256R1.name:
            raise BadKey("it is neither the JWK nor the PEM of a P-256 key without a password")
        return cls(private, kid)

    @classmethod
    def of_seed(cls, seed: bytes) -> SigningKey:
        """The key that 32 random bytes stand for, always the same."""
        scalar = int.from_bytes(sha256(seed).digest(), "big") % (_ORDER - 1) + 1
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    def flattened(self, header: Mapping[str, Any], payload: bytes) -> bytes:
        """A JWS in the flattened JSON serialization, as ACME sends it (RFC 8555, section 6.2)."""
        protected, body = self._parts(header, payload)
        return flattened(protected, body, self._signature(protected, body))

    def compact(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """A JWT (RFC 7519)."""
        protected, body = self._parts({"typ": "JWT", **header}, msgspec.json.encode(claims))
        return f"{protected}.{body}.{encoded(self._signature(protected, body))}"

    @staticmethod
    def _parts(header: Mapping[str, Any], payload: bytes) -> tuple[str, str]:
        return encoded(msgspec.json.encode({"alg": "ES256", **header})), encoded(payload)

    def _signature(self, protected: str, body: str) -> bytes:
        signed = self._private.sign(f"{protected}.{body}".encode("ascii"), ec.ECDSA(hashes.SHA256()))
        return b"".join(part.to_bytes(_OCTETS, "big") for part in decode_dss_signature(signed))


def _of_pem(text: bytes) -> tuple[object, None]:
    return load_pem_private_key(text, None), None


def _of_jwk(text: bytes) -> tuple[object, str | None]:
    jwk = msgspec.json.decode(text, type=_PrivateJWK)
    if (jwk.kty, jwk.crv) != ("EC", "P-256"):
        return None, None
    return ec.derive_private_key(int.from_bytes(decoded(jwk.d), "big"), ec.SECP256R1()), jwk.kid


def flattened(protected: str, body: str, signature: bytes) -> bytes:
    return msgspec.json.encode({"protected": protected, "payload": body, "signature": encoded(signature)})


def encoded(octets: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decoded(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
