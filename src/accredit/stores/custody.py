"""Custody in the store: what ends when, from counters that triggers keep, and the signatures that serve nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.credential import STRAY
from accredit.domain.custody import Ending, LostOrder, Orphan, OrphanKind
from accredit.domain.ids import RegistrationId
from accredit.interfaces import Page
from accredit.stores import paging, rows
from accredit.stores.reading import Reading
from accredit.stores.steps import UnitOfWork

ENDINGS = """
SELECT end_day, renewal_day, certificates FROM certificate_ends
WHERE end_day >= ? AND certificates > 0 ORDER BY end_day, renewal_day"""
# Each part is the whole of a small index, and has every third number.
_ORPHANS = """
SELECT number, kind, authority, sha256, at, serial, registration, not_after, revoked_at, ca_told_at, watched FROM (
  SELECT
    id + id + id AS number, profile AS kind, authority, sha256, issued_at AS at, serial, registration, not_after, revoked_at,
    ca_told_at, NULL AS watched
  FROM certificates WHERE binding IS NULL
  UNION ALL
  SELECT
    id + id + id + 1, NULL, authority, sha256, logged_at, NULL, NULL, NULL, NULL, NULL,
    (SELECT MAX(watch_until) FROM lost_orders WHERE csr_sha256 = log_leaves.sha256 AND next_look_at IS NOT NULL)
  FROM log_leaves WHERE kind = 2
  UNION ALL
  SELECT id + id + id + 2, NULL, authority, NULL, reserved_at, serial, NULL, not_after, lost_at, lost_at, NULL
  FROM lost_serials
) AS orphans WHERE number > ? ORDER BY number LIMIT ?"""

_WATCH = """
INSERT INTO lost_orders (operation_id, authority_key, authority, csr_sha256, watch_until, looks, next_look_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (operation_id, authority_key) DO NOTHING"""
_LOOK_AGAIN = """
UPDATE lost_orders SET looks = ?, next_look_at = ?
WHERE operation_id = ? AND authority_key = ? AND next_look_at IS NOT NULL"""
_UNDER_WAY = """
SELECT 1 FROM operations
WHERE registration_key = ? AND (state = 'open' OR (state = 'superseded' AND submitted = 1)) LIMIT 1"""
_DUE = """
SELECT operation_id, authority, csr_sha256, watch_until, next_look_at, looks FROM lost_orders
WHERE next_look_at <= ? ORDER BY next_look_at LIMIT ?"""


def _watch(change: c.WatchLostOrder, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    lost = change.order
    name = lost.authority
    values = (
        lost.operation_id, name.key, name.text, lost.csr_sha256, lost.watch_until, lost.looks, lost.next_look_at,
    )  # fmt: skip
    unit.steps.append((_WATCH, values, None, change))


def _look_again(change: c.LookAgain, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    values = (change.looks, change.next_look_at, change.operation_id, change.authority.key)
    unit.steps.append((_LOOK_AGAIN, values, 1, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    c.WatchLostOrder: _watch,
    c.LookAgain: _look_again,
}


class CustodyReads(Reading):
    """The reading half of the store for custody."""

    async def endings(self, first_day: int) -> Sequence[Ending]:
        return [Ending(*row) for row in await self._rows(ENDINGS, (first_day,))]

    async def orphans(self, cursor: str | None, limit: int) -> Page[Orphan]:
        limit = paging.bounded(limit)
        found = await self._rows(_ORPHANS, (paging.after_id(cursor, "orphans"), limit + 1))
        return paging.page(found, limit, _orphan, lambda row: row[0], "orphans")

    async def is_ordering(self, registration_id: RegistrationId) -> bool:
        return await self._row(_UNDER_WAY, (registration_id.key,)) is not None

    async def lost_orders(self, due_at: int, limit: int) -> Sequence[LostOrder]:
        found = await self._rows(_DUE, (due_at, limit))
        return [LostOrder(row[0], rows.authority_name(row[1]), *row[2:]) for row in found]


def _orphan(row: rows.Row) -> Orphan:
    (_, profile, authority, sha256, at, serial, registration, not_after, revoked_at, told_at, watched) = row
    kind = OrphanKind.STRAY if profile == STRAY else OrphanKind.UNBOUND
    if profile is None:
        kind = OrphanKind.RESERVED if sha256 is None else OrphanKind.UNKNOWN
    number = None if serial is None else int.from_bytes(serial, "big", signed=True)
    name = rows.authority_name(authority)
    return Orphan(kind, name, sha256, at, number, registration, not_after, revoked_at, told_at, watched)
