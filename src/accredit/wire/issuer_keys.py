"""The keys of who signs bearer tokens, read from its own documents (RFC 7517; OpenID Connect Discovery)."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from accredit.domain.access import VerifyingKey

MAX_KEYS = 100
MIN_RSA_BITS = 2048

_PUBLIC = frozenset({"kty", "n", "e", "crv", "x", "y"})


def discovered_keys_url(body: bytes, issuer: str) -> str:
    """`jwks_uri` of the issuer's configuration document; raises ValueError when it is not that of this issuer."""
    document = _object(body)
    if document.get("issuer") != issuer:
        raise ValueError("its configuration names another issuer")
    url = document.get("jwks_uri")
    if not isinstance(url, str):
        raise ValueError("its configuration has no jwks_uri")  # noqa: TRY004 - what the reader takes is ValueError
    return url


def verifying_keys(body: bytes) -> Mapping[str, VerifyingKey]:
    """The keys of a JWK set that can verify what is taken, by id; others are passed over. Raises ValueError."""
    keys = _object(body).get("keys")
    if not isinstance(keys, list):
        raise ValueError("its key set has no keys")  # noqa: TRY004 - as above
    read = (_key(each) for each in keys[:MAX_KEYS] if isinstance(each, dict))
    return {key.id: key for key in read if key is not None}


def _key(document: dict[str, Any]) -> VerifyingKey | None:
    kind, name = document.get("kty"), document.get("kid")
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(kind) if isinstance(kind, str) else None
    usable = document.get("use") in (None, "sig") and document.get("alg") in (None, algorithm)
    if algorithm is None or not usable or not isinstance(name, str) or not name:
        return None
    # Public members alone: a set that shows private keys is none of ours to hold.
    public = {member: value for member, value in document.items() if member in _PUBLIC}
    try:
        key = PyJWK(public, algorithm).key
    except (PyJWTError, ValueError, TypeError, AttributeError, binascii.Error):
        return None
    strong = isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS
    if strong or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        return VerifyingKey(name, algorithm, key)
    return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("what it answers is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("what it answers is not a JSON object")  # noqa: TRY004 - as above
    return document
