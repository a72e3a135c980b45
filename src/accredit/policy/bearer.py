"""The judgement of a bearer token: signature, issuer, audience, time, and the rights that its roles carry.

Signature first, so that no claim is looked at that the issuer did not make. Pure: the key and the instant are handed in.
Source: RFC 7519 and OpenID Connect Core 3.1.3.7; the roles are those of Azure's DPS (Data Reader, Data Contributor).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

import msgspec
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from accredit.domain.access import BearerToken, Right, VerifyingKey
from accredit.domain.errors import Unauthenticated
from accredit.values import dataclass

SKEW_S = 60
"""How far the issuer's clock and ours may be apart."""

MAX_SUBJECT_CHARS = 128

_MAX_STEPS = 8
_SCOPES = frozenset({"scope", "scp"})
_JWS = PyJWS()


class Role(StrEnum):
    """What a person or a program may be, beside the policies."""

    READER = "reader"
    CONTRIBUTOR = "contributor"
    OWNER = "owner"


_READS = frozenset({Right.ENROLLMENT_READ, Right.REGISTRATION_STATUS_READ, Right.REGISTRY_READ})
_WRITES = frozenset(
    {Right.ENROLLMENT_WRITE, Right.REGISTRATION_STATUS_WRITE, Right.REGISTRY_WRITE, Right.SERVICE_CONNECT}
)

ROLE_RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.READER: _READS,
    Role.CONTRIBUTOR: _READS | _WRITES,
    Role.OWNER: _READS | _WRITES | {Right.SERVICE_CONFIG},
}
"""A role's rights in both realms. DeviceConnect is a device's own, and nobody's role."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the operator takes from an issuer. `roles` maps a value of the claim, in lower case, to our role.

    `claim` may lead into objects by dots (`realm_access.roles`); its value is a list or one role; of scopes, words.
    """

    issuer: str
    audiences: Collection[str]
    claim: str
    roles: Mapping[str, Role]


def judged(
    token: BearerToken, key: VerifyingKey, trusted: Trusted, now: float
) -> tuple[str, frozenset[Right]]:
    """Who the token is of, and the rights that it carries; raises Unauthenticated."""
    claims = _claims(token, key)
    subject = _subject(claims)
    if claims.get("iss") != trusted.issuer:
        raise _refusal("bearer-issuer", f"{subject}: iss {str(claims.get('iss'))[:200]!r}")
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not any(each in trusted.audiences for each in named if isinstance(each, str)):
        raise _refusal("bearer-audience", f"{subject}: aud {str(audience)[:200]!r}")
    _check_time(claims, subject, now)
    held = {trusted.roles[value] for value in _values(claims, trusted.claim) if value in trusted.roles}
    if not held:
        raise _refusal("bearer-role", f"{subject}: {trusted.claim} holds no role that is known here")
    return subject, frozenset().union(*(ROLE_RIGHTS[role] for role in held))


def _claims(token: BearerToken, key: VerifyingKey) -> dict[str, Any]:
    if token.algorithm != key.algorithm:
        raise _refusal("bearer-algorithm", f"{token.algorithm} with a key for {key.algorithm}")
    try:
        payload = _JWS.decode_complete(token.text.reveal(), key.key, algorithms=[key.algorithm])["payload"]
    except (PyJWTError, ValueError, TypeError) as failure:
        raise _refusal("bearer-signature", f"key {key.id[:100]!r}: {type(failure).__name__}") from None
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _refusal("bearer-malformed", "the claims are no JSON object") from None


def _check_time(claims: Mapping[str, Any], subject: str, now: float) -> None:
    expires, begins = _instant(claims.get("exp")), _instant(claims.get("nbf", 0))
    if expires is None or begins is None:
        raise _refusal("bearer-malformed", f"{subject}: exp or nbf is no number")
    if expires + SKEW_S <= now:
        raise _refusal("bearer-expired", f"{subject}: exp {expires}")
    if begins - SKEW_S > now:
        raise _refusal("bearer-not-yet", f"{subject}: nbf {begins}")


def _instant(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _values(claims: Mapping[str, Any], claim: str) -> list[str]:
    # A claim's own name may have dots in it (a URL): the whole name comes first.
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for step in claim.split(".")[:_MAX_STEPS]:
            value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, str):
        # Scopes are words (RFC 8693, section 4.2); a role's name may have spaces in it.
        return value.lower().split() if claim.rsplit(".", maxsplit=1)[-1] in _SCOPES else [value.lower()]
    return [each.lower() for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _subject(claims: Mapping[str, Any]) -> str:
    text = claims.get("sub")
    shown = text if isinstance(text, str) and text.isprintable() else ""
    return shown[:MAX_SUBJECT_CHARS] or "nobody"


def _refusal(rule: str, evidence: str) -> Unauthenticated:
    return Unauthenticated("Unauthorized", rule=rule, evidence=evidence)
