"""Custody in the store: what ends when, from counters that triggers keep, and the signatures that serve nobody."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.credential import STRAY
from accredit.domain.custody import Ending, Orphan, OrphanKind
from accredit.interfaces import Page
from accredit.stores import paging, rows
from accredit.stores.reading import Reading

ENDINGS = """
SELECT end_day, renewal_day, certificates FROM certificate_ends
WHERE end_day >= ? AND certificates > 0 ORDER BY end_day, renewal_day"""
# Each half is the whole of a small index. Even numbers are certificates, odd ones leaves.
_ORPHANS = """
SELECT number, kind, authority, sha256, at, serial, registration, not_after, revoked_at, ca_told_at FROM (
  SELECT
    id * 2 AS number, profile AS kind, authority, sha256, issued_at AS at, serial, registration, not_after, revoked_at,
    ca_told_at
  FROM certificates WHERE binding IS NULL
  UNION ALL
  SELECT id * 2 + 1, NULL, authority, sha256, logged_at, NULL, NULL, NULL, NULL, NULL FROM log_leaves WHERE kind = 2
) AS orphans WHERE number > ? ORDER BY number LIMIT ?"""


class CustodyReads(Reading):
    """The reading half of the store for custody."""

    async def endings(self, first_day: int) -> Sequence[Ending]:
        return [Ending(*row) for row in await self._rows(ENDINGS, (first_day,))]

    async def orphans(self, cursor: str | None, limit: int) -> Page[Orphan]:
        limit = paging.bounded(limit)
        found = await self._rows(_ORPHANS, (paging.after_id(cursor, "orphans"), limit + 1))
        return paging.page(found, limit, _orphan, lambda row: row[0], "orphans")


def _orphan(row: rows.Row) -> Orphan:
    (_, profile, authority, sha256, at, serial, registration, not_after, revoked_at, told_at) = row
    kind = OrphanKind.STRAY if profile == STRAY else OrphanKind.UNBOUND
    if profile is None:
        kind = OrphanKind.UNKNOWN
    number = None if serial is None else int.from_bytes(serial, "big", signed=True)
    name = rows.authority_name(authority)
    return Orphan(kind, name, sha256, at, number, registration, not_after, revoked_at, told_at)
