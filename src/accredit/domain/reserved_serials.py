"""Serial numbers that a CA whose key is in a token may sign: what is on record of them, and what may become of that."""

from __future__ import annotations

from accredit.domain.ids import AuthorityName
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class ReservedSerial:
    """A number that a token may sign, and that is not on record as a certificate; `owner` is the process that may use it.

    A lost one is given up: a token may have signed it, nobody has seen the certificate, and it is revoked.
    """

    authority: AuthorityName
    serial: int
    owner: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class ReserveSerials:
    """Put numbers on record before a token may sign any of them; what is on record as a certificate by now is forgotten.

    Until `expires_at` they are `owner`'s; no certificate with one of them lives beyond `not_after`. Stale when one is
    reserved already.
    """

    authority: AuthorityName
    serials: tuple[int, ...]
    owner: str
    reserved_at: int
    expires_at: int
    not_after: int


@dataclass(frozen=True, slots=True)
class ReleaseSerials:
    """Forget reserved numbers that were never given to a token, and those that are on record as certificates."""

    authority: AuthorityName
    serials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoseSerial:
    """A token may have signed this number, and nothing more will be heard of it: it is revoked. Twice is as once."""

    authority: AuthorityName
    serial: int
    lost_at: int
