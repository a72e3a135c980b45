"""The revocation of a whole enrollment group, or of a certificate authority, with its devices.

It is durable before its first device is revoked, and goes on from `position` after a crash. While it is open, nobody of
those that it covers opens a hub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum

from accredit.domain.credential import RevocationReason
from accredit.domain.ids import AuthorityName, GroupId, RegistrationId
from accredit.values import dataclass, field


class AtAuthority(StrEnum):
    """How far the CA of a revoked certificate is. Unable: it can't be told, so it has to be done there by hand."""

    REVOKED = "revoked"
    PENDING = "pending"
    UNABLE = "unable"


@dataclass(frozen=True, slots=True)
class RevokedIssuer:
    """An issuing CA of our own that its root revoked. `listed`: the root's key is here, so that its CRL says so.

    `sha256` is of its certificate's DER.
    """

    key_id: str
    sha256: bytes
    listed: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What was done so far. `connections` are those that were cut."""

    devices: int = 0
    identities: int = 0
    operations: int = 0
    connections: int = 0
    certificates: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.devices + other.devices,
            self.identities + other.identities,
            self.operations + other.operations,
            self.connections + other.connections,
            self.certificates + other.certificates,
        )


@dataclass(frozen=True, slots=True)
class AuthorityTally:
    """Certificates of one CA that were revoked: how many, how many the CA has revoked too, and how many it can't."""

    authority: AuthorityName
    certificates: int
    revoked: int
    unable: int

    @property
    def pending(self) -> int:
        return self.certificates - self.revoked - self.unable


@dataclass(frozen=True, slots=True)
class MassRevocation:
    """`target` is the group, or the authority. Instants are Unix seconds.

    `issuers` narrows an authority to some of its issuing CAs; with none it is all that the authority ever issued.
    `keeps_devices`: the certificates alone are revoked, and each device may register for a new one. `seen` of `total` rows
    were looked at.
    """

    id: str
    target: GroupId | AuthorityName
    reason: RevocationReason
    started_by: str
    started_at: int
    total: int
    issuers: tuple[RevokedIssuer, ...] = ()
    keeps_devices: bool = False
    position: str | None = None
    seen: int = 0
    done: Tally = Tally()
    ended_at: int | None = None

    def covers(self, authority: AuthorityName, above: Sequence[bytes]) -> bool:
        """Whether a certificate of this authority, below these certificates (DER), is among those that are revoked."""
        if authority != self.target:
            return False
        if not self.issuers:
            return True
        issuer = hashlib.sha256(above[0]).digest() if above else b""
        return any(each.sha256 == issuer for each in self.issuers)


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a mass revocation: from its `position` to `next`, None at its end."""

    next: str | None
    seen: int
    done: Tally
    certificates: Mapping[AuthorityName, tuple[int, int]] = field(default_factory=dict)
    """By authority: how many certificates were revoked, and how many of them need nobody to be told."""


@dataclass(frozen=True, slots=True)
class BeginMassRevocation:
    """A change (`changes.py`). Stale when one with the same target is open."""

    revocation: MassRevocation


@dataclass(frozen=True, slots=True)
class AdvanceMassRevocation:
    """A change: add a step to a mass revocation that stands at `position`; a step without a next one ends it. Stale when it stands elsewhere."""

    revocation_id: str
    position: str | None
    progress: Progress
    at: int


@dataclass(frozen=True, slots=True)
class Portion:
    """Whom the next rows concern: `seen` rows, up to `next`, which is None when there were none."""

    registration_ids: tuple[RegistrationId, ...]
    next: str | None
    seen: int
