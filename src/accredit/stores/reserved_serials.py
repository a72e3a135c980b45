"""Reserved serial numbers in the store: the changes that make, forget and lose them, and how they are read.

A certificate on record always counts for more than its reservation, even one that was given up: what it is revoked by
stands in its own row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.credential import RevocationReason, Revoked
from accredit.domain.ids import AuthorityName
from accredit.domain.reserved_serials import LoseSerial, ReleaseSerials, ReservedSerial, ReserveSerials
from accredit.stores import rows
from accredit.stores.reading import Reading
from accredit.stores.steps import UnitOfWork

_INSERT = """
INSERT INTO reserved_serials (authority_key, authority, owner, reserved_at, expires_at, not_after, serial)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""
_FORGET_RECORDED = """
DELETE FROM reserved_serials WHERE authority_key = ? AND lost_at IS NULL AND EXISTS (
  SELECT 1 FROM certificates
  WHERE certificates.serial = reserved_serials.serial AND certificates.authority_key = reserved_serials.authority_key)"""
_RELEASE = "DELETE FROM reserved_serials WHERE serial = ? AND authority_key = ? AND lost_at IS NULL"
_LOSE = "UPDATE reserved_serials SET lost_at = ? WHERE serial = ? AND authority_key = ? AND lost_at IS NULL"
_RESERVED = """
SELECT authority, serial, owner, expires_at FROM reserved_serials
WHERE lost_at IS NULL AND NOT EXISTS (
  SELECT 1 FROM certificates
  WHERE certificates.serial = reserved_serials.serial AND certificates.authority_key = reserved_serials.authority_key)
ORDER BY id"""
# Never fewer than before: a lost number is not forgotten.
_LOST_COUNT = "SELECT COUNT(*) FROM reserved_serials WHERE lost_at IS NOT NULL"
_LOST_OF = "SELECT serial, lost_at FROM lost_serials WHERE authority_key = ? AND not_after > ? ORDER BY id"
_LOST_SERIAL = "SELECT serial, lost_at FROM lost_serials WHERE authority_key = ? AND serial = ?"


def _reserve(change: ReserveSerials, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((_FORGET_RECORDED, (change.authority.key,), None, change))
    common = (
        change.authority.key,
        change.authority.text,
        change.owner,
        change.reserved_at,
        change.expires_at,
        change.not_after,
    )
    for serial in change.serials:
        unit.steps.append((_INSERT, (*common, rows.serial_value(serial)), 1, change))


def _release(change: ReleaseSerials, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((_FORGET_RECORDED, (change.authority.key,), None, change))
    for serial in change.serials:
        unit.steps.append((_RELEASE, (rows.serial_value(serial), change.authority.key), None, change))


def _lose(change: LoseSerial, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    values = (change.lost_at, rows.serial_value(change.serial), change.authority.key)
    unit.steps.append((_LOSE, values, None, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    ReserveSerials: _reserve,
    ReleaseSerials: _release,
    LoseSerial: _lose,
}


class ReservedSerialReads(Reading):
    """The reading half of the store for them."""

    async def reserved_serials(self) -> Sequence[ReservedSerial]:
        return [
            ReservedSerial(rows.authority_name(authority), _number(serial), owner, expires_at)
            for authority, serial, owner, expires_at in await self._rows(_RESERVED, ())
        ]

    async def lost_serial(self, authority: AuthorityName, serial: int) -> Revoked | None:
        found = await self._rows(_LOST_SERIAL, (authority.key, rows.serial_value(serial)))
        return revoked(*found[0]) if found else None

    async def _lost_count(self) -> int:
        return await self._count(_LOST_COUNT, ())

    async def _lost_serials(self, authority: AuthorityName, after: int) -> list[Revoked]:
        """Those that a certificate which ends after this instant may bear."""
        return [revoked(*row) for row in await self._rows(_LOST_OF, (authority.key, after))]


def revoked(serial: bytes, lost_at: int) -> Revoked:
    """How a lost serial number stands on a CRL. Nothing is known of why, but that nobody has it."""
    return Revoked(_number(serial), lost_at, RevocationReason.UNSPECIFIED)


def _number(serial: bytes) -> int:
    return int.from_bytes(serial, "big", signed=True)
