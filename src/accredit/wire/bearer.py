"""Bearer tokens and the keys of who signs them, read and not judged (RFC 7519, RFC 7515, RFC 7517; OpenID Connect Discovery).

Everything is bounded before it is parsed. Only the two algorithms that are taken can be read: there is no `none`, and
no symmetric key, that a token could ask for.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from accredit.domain.access import BearerToken, VerifyingKey
from accredit.domain.errors import Unauthenticated
from accredit.domain.secret import Secret

MAX_TOKEN_CHARS = 16 * 1024
MAX_KEYS = 100
MIN_RSA_BITS = 2048

ALGORITHMS = ("RS256", "ES256")

_SCHEME = "bearer "
_PUBLIC = frozenset({"kty", "n", "e", "crv", "x", "y"})
_MAX_KEY_ID_CHARS = 512


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None
    crit: list[str] | None = None


def is_bearer(authorization: str) -> bool:
    """Whether the header's scheme is Bearer (RFC 6750, section 2.1)."""
    return authorization[: len(_SCHEME)].lower() == _SCHEME


def parse(authorization: str) -> BearerToken:
    """Read an Authorization header whose scheme is Bearer. Raises Unauthenticated."""
    text = authorization[len(_SCHEME) :].strip()
    if len(text) > MAX_TOKEN_CHARS:
        raise _malformed("it is too long")
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise _malformed("it is not three parts with dots between them")
    header = _header(parts[0])
    if header.alg not in ALGORITHMS:
        raise Unauthenticated(
            "Unauthorized", rule="bearer-algorithm", evidence=f"the token is signed by {header.alg[:40]!r}"
        )
    if header.crit:
        raise _malformed("it has a critical header that is not known")
    if not header.kid or len(header.kid) > _MAX_KEY_ID_CHARS:
        raise _malformed("it does not say which key signed it (kid)")
    return BearerToken(Secret(text.encode("ascii", "replace")), header.alg, header.kid)


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


def _header(part: str) -> _Header:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=_Header)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        raise _malformed("its header can't be read") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("what it answers is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("what it answers is not a JSON object")  # noqa: TRY004 - as above
    return document


def _malformed(what: str) -> Unauthenticated:
    return Unauthenticated("Unauthorized", rule="bearer-malformed", evidence=f"bearer token: {what}")
