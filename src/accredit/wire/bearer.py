"""Bearer tokens, read and not judged (RFC 7519, RFC 7515).

Everything is bounded before it is parsed. Only the two algorithms that are taken can be read: there is no `none`, and
no symmetric key, that a token could ask for.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from accredit.domain.access import BearerToken
from accredit.domain.errors import Unauthenticated
from accredit.domain.secret import Secret

MAX_TOKEN_CHARS = 16 * 1024

ALGORITHMS = ("RS256", "ES256")

_SCHEME = "bearer "
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


def _header(part: str) -> _Header:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=_Header)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        raise _malformed("its header can't be read") from None


def _malformed(what: str) -> Unauthenticated:
    return Unauthenticated("Unauthorized", rule="bearer-malformed", evidence=f"bearer token: {what}")
