"""Certificate authority documents (`/certificateAuthorities/{name}`, api-version 2021-11-01-preview).

Which members a type takes is not known here (`administration/authority_types.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accredit.domain.authority import AuthorityRecord
from accredit.domain.errors import Malformed
from accredit.values import dataclass
from accredit.wire.instants import iso
from accredit.wire.service_api.certificates import pem
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.etags import quoted


@dataclass(frozen=True, slots=True)
class AuthoritySent:
    """One PUT document: its type, and its other members as they were sent; nulls count as not sent."""

    type: str
    members: dict[str, str | int]

    def __repr__(self) -> str:  # members carry credentials
        return f"AuthoritySent(type={self.type!r}, members={sorted(self.members)})"


def read_authority(body: bytes) -> AuthoritySent:
    """Members other than text and whole numbers are dropped, like every other member that nobody knows."""
    document = read(body, dict[str, Any])
    kind = document.pop("certificateAuthorityType", None)
    if not isinstance(kind, str) or not kind:
        raise Malformed("certificateAuthorityType is missing.", rule="authority-type")
    members = {name: value for name, value in document.items() if isinstance(value, str | int)}
    return AuthoritySent(
        kind, {name: value for name, value in members.items() if not isinstance(value, bool)}
    )


def authority_document(record: AuthorityRecord) -> dict[str, Any]:
    """As answers show it: never a secret."""
    return {
        "name": record.name.text,
        "certificateAuthorityType": record.type,
        **record.settings,
        "etag": quoted(record.etag),
        "createdDateTimeUtc": iso(record.created_at),
        "lastUpdatedDateTimeUtc": iso(record.updated_at),
    }


def health_document(
    reason: str | None,
    chain: Sequence[bytes],
    can: Sequence[str],
    checked_at: int,
    credentials_end: int | None = None,
) -> dict[str, Any]:
    """What a GET of one authority adds: whether it would take orders now, what it can do, its own certificates, and when
    our credentials end."""
    health = {"status": "healthy" if reason is None else "failing", "checkedDateTimeUtc": iso(checked_at)}
    if reason is not None:
        health["reason"] = reason
    shown: dict[str, Any] = {"health": health}
    if credentials_end is not None:
        shown["credentialsExpireDateTimeUtc"] = iso(credentials_end)
    if can:
        shown["capabilities"] = list(can)
    if chain:
        shown["chain"] = [pem(der) for der in chain]
    return shown
