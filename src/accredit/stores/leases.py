"""Leases in the store: those of operations, which stand in their rows, and those by name.

Every instant that is compared here comes from the database's clock, by way of whoever made the change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.lease import Lease
from accredit.domain.registration import Operation
from accredit.stores import rows
from accredit.stores import statements as sql
from accredit.stores.reading import Reading
from accredit.stores.steps import UnitOfWork, found

_LAPSED_OPEN = f"{sql.OPERATION_COLUMNS} WHERE state = 'open' AND lease_expires_at <= ? ORDER BY lease_expires_at LIMIT ?"
_LAPSED_UNSETTLED = f"""{sql.OPERATION_COLUMNS}
WHERE state = 'superseded' AND submitted = 1 AND lease_expires_at <= ? ORDER BY lease_expires_at LIMIT ?"""
_ASSERT = "SELECT 1 FROM operations WHERE id = ? AND fence = ?"
_TAKE = """
UPDATE operations SET lease_owner = ?, lease_expires_at = ?, fence = fence + 1
WHERE id = ? AND fence = ? AND (state = 'open' OR (state = 'superseded' AND submitted = 1))"""
_RENEW_OPEN = "UPDATE operations SET lease_expires_at = ? WHERE lease_owner = ? AND state = 'open'"
_RENEW_UNSETTLED = """
UPDATE operations SET lease_expires_at = ? WHERE lease_owner = ? AND state = 'superseded' AND submitted = 1"""

_LEASE = "SELECT name, owner, expires_at, fence FROM leases WHERE name = ?"
_TAKE_LEASE = """
INSERT INTO leases (name, owner, expires_at, fence) VALUES (?, ?, ?, 1)
ON CONFLICT (name) DO UPDATE SET
  owner = excluded.owner,
  expires_at = excluded.expires_at,
  fence = CASE WHEN leases.owner = excluded.owner THEN leases.fence ELSE leases.fence + 1 END
WHERE leases.owner = excluded.owner OR leases.expires_at <= ?"""
_ASSERT_LEASE = "SELECT 1 FROM leases WHERE name = ? AND owner = ? AND fence = ?"
# The row stays, and its fence with it: a lease that is given back has merely lapsed.
_END_LEASE = "UPDATE leases SET expires_at = 0 WHERE name = ? AND owner = ?"


def _assert(change: c.AssertOperation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((_ASSERT, (change.operation_id, change.fence), found, change))


def _take(change: c.TakeOperation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    values = (change.owner, change.expires_at, change.operation_id, change.fence)
    unit.steps.append((_TAKE, values, 1, change))


def _renew(change: c.RenewOperations, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    values = (change.expires_at, change.owner)
    unit.steps.append((_RENEW_OPEN, values, None, change))
    unit.steps.append((_RENEW_UNSETTLED, values, None, change))


def _take_lease(change: c.TakeLease, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    values = (change.name, change.owner, change.expires_at, change.now)
    unit.steps.append((_TAKE_LEASE, values, 1, change))


def _assert_lease(change: c.AssertLease, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    lease = change.lease
    unit.steps.append((_ASSERT_LEASE, (lease.name, lease.owner, lease.fence), found, change))


def _end_lease(change: c.EndLease, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((_END_LEASE, (change.name, change.owner), None, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    c.AssertOperation: _assert,
    c.TakeOperation: _take,
    c.RenewOperations: _renew,
    c.TakeLease: _take_lease,
    c.AssertLease: _assert_lease,
    c.EndLease: _end_lease,
}


class LeaseReads(Reading):
    """The reading half of the store for leases."""

    async def lapsed_operations(self, now: int, limit: int) -> Sequence[Operation]:
        lapsed = [
            *await self._rows(_LAPSED_OPEN, (now, limit)),
            *await self._rows(_LAPSED_UNSETTLED, (now, limit)),
        ]
        return [rows.operation(row) for row in lapsed]

    async def lease(self, name: str) -> Lease | None:
        held = await self._row(_LEASE, (name,))
        return None if held is None else Lease(*held)
