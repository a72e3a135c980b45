"""A lease: which process may do a piece of work that only one may do at a time, and until when by the database's clock."""

from __future__ import annotations

from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """`fence` grows each time that another owner takes the lease; `expires_at` is Unix time in seconds."""

    name: str
    owner: str
    expires_at: int
    fence: int
