"""Documents of shared access policies (`/policies`, `/hubPolicies`; an extension).

Keys are shown where they were made or set, in the answers of PUT and rotate, and nowhere else.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from accredit.domain.access import Policy, Realm, Right
from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.instants import iso
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.etags import quoted
from accredit.wire.service_api.keys import key_text, read_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")

RIGHTS: dict[Realm, tuple[Right, ...]] = {
    Realm.PROVISIONING: (
        Right.SERVICE_CONFIG,
        Right.ENROLLMENT_READ,
        Right.ENROLLMENT_WRITE,
        Right.REGISTRATION_STATUS_READ,
        Right.REGISTRATION_STATUS_WRITE,
    ),
    Realm.HUB: (Right.REGISTRY_READ, Right.REGISTRY_WRITE, Right.SERVICE_CONNECT, Right.DEVICE_CONNECT),
}
"""What a policy of each realm may carry."""


class PolicyDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The body of a PUT. A key that is not sent is made, or on a replace kept."""

    rights: list[str]
    name: str | None = None
    primary_key: str | None = None
    secondary_key: str | None = None
    etag: str | None = None
    created_date_time_utc: str | None = None
    last_updated_date_time_utc: str | None = None


class RotationDocument(msgspec.Struct, forbid_unknown_fields=True):
    """Which of the two keys is made anew."""

    key: Literal["primary", "secondary"]


@dataclass(frozen=True, slots=True)
class PolicySent:
    """One PUT document; a key that is None was not sent."""

    name: str
    rights: frozenset[Right]
    primary: Secret | None
    secondary: Secret | None


def policy_name(text: str) -> str:
    """The name, if a policy can have it; a token carries it in `skn`, where case matters."""
    if not _NAME.fullmatch(text):
        raise Malformed(
            "The policy's name is not 1 to 64 letters, digits or - . _ that begin with a letter or digit.",
            rule="policy-name",
        )
    return text


def read_policy(body: bytes, name: str, realm: Realm) -> PolicySent:
    """Read the PUT document of the policy that the path names."""
    document = read(body, PolicyDocument)
    if document.name is not None and document.name != name:
        raise Malformed("The name in the body is not the one in the address.", rule="id-mismatch")
    known = {right.value.lower(): right for right in RIGHTS[realm]}
    try:
        rights = frozenset(known[text.lower()] for text in document.rights)
    except KeyError as unknown:
        raise Malformed(
            f"{str(unknown.args[0])[:64]!r} is not a right of this kind of policy.",
            rule="policy-rights",
            hint=f"there are {', '.join(RIGHTS[realm])}",
        ) from None
    if not rights:
        raise Malformed(
            "A policy without rights opens nothing.",
            rule="policy-rights",
            hint=f"there are {', '.join(RIGHTS[realm])}",
        )
    primary = read_key(document.primary_key, "primaryKey")
    return PolicySent(name, rights, primary, read_key(document.secondary_key, "secondaryKey"))


def read_rotation(body: bytes) -> str:
    """`primary` or `secondary`."""
    return read(body, RotationDocument).key


def policy_document(policy: Policy, *, keys_shown: bool = False) -> dict[str, Any]:
    """As answers show it; `keys_shown` only for PUT and rotate."""
    keys = {"primaryKey": key_text(policy.primary), "secondaryKey": key_text(policy.secondary)}
    return {
        "name": policy.name,
        "rights": [right.value for right in RIGHTS[policy.realm] if right in policy.rights],
        **(keys if keys_shown else {}),
        "etag": quoted(policy.etag),
        "createdDateTimeUtc": iso(policy.created_at),
        "lastUpdatedDateTimeUtc": iso(policy.updated_at),
    }
