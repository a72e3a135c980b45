"""What is known of certificates as a whole: which end when, and which signatures serve nobody."""

from __future__ import annotations

from enum import StrEnum

from accredit.domain.ids import AuthorityName
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """So many certificates that open a hub end on `end_day`, and are renewed around `renewal_day` (days since 1970, UTC)."""

    end_day: int
    renewal_day: int
    certificates: int


class OrphanKind(StrEnum):
    """Unknown: an answer was lost, and nothing was found. Stray: signed against the order. Unbound: signed as ordered, for nothing.

    Reserved: a serial number that a token may have signed, and no certificate with it came to be on record.
    """

    UNKNOWN = "unknown"
    STRAY = "stray"
    UNBOUND = "unbound"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True)
class Orphan:
    """`sha256` is of the certificate, of the CSR where only that is known; then there is no `serial`. Of a reserved
    serial number nothing else is known, and `sha256` is None.

    `revoked_at` is when it was revoked here, `told_at` when its CA had it revoked. An unknown one is looked up at its CA
    again until `watched_until`, where that can be asked.
    """

    kind: OrphanKind
    authority: AuthorityName
    sha256: bytes | None
    at: int
    serial: int | None = None
    registration_id: str | None = None
    not_after: int | None = None
    revoked_at: int | None = None
    told_at: int | None = None
    watched_until: int | None = None


@dataclass(frozen=True, slots=True)
class LostOrder:
    """An order of an operation whose answer was lost. Its CA is asked for what it made at `next_look_at`, and not after
    `watch_until` (Unix seconds); `looks` is how often it was."""

    operation_id: str
    authority: AuthorityName
    csr_sha256: bytes
    watch_until: int
    next_look_at: int
    looks: int = 0
