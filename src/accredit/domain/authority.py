"""A certificate authority as the operator configured it (`PUT /certificateAuthorities/{name}`)."""

from __future__ import annotations

from typing import Any

from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.values import dataclass

REVOKED_AT, REVOKED_REASON = "revokedDateTimeUtc", "revocationReason"


@dataclass(frozen=True, slots=True)
class AuthorityRecord:
    """`settings` are the public members by their wire names; `secrets` the write-only ones.

    `version` changes with every PUT: a certificate issued under one version is not given back under another.
    """

    name: AuthorityName
    type: str
    settings: dict[str, Any]
    secrets: dict[str, Secret]
    version: str
    etag: str
    created_at: int
    updated_at: int

    @property
    def is_revoked(self) -> bool:
        """Of an outside authority: it takes no orders any more. One of our own goes on with the next issuing CA."""
        return REVOKED_AT in self.settings
