"""What the store keeps of refused devices: decision traces, setbacks, and the ids that a group is open to.

Rows to values and back, the statements of their changes, and the reading half of the store for them. None of it is
touched by a device that gets through: `setbacks` asks the database only while any device has some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from accredit.domain import changes as c
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.setback import Setbacks
from accredit.domain.trace import DecisionTrace
from accredit.interfaces import Page
from accredit.stores import paging
from accredit.stores import refusal_statements as sql
from accredit.stores.reading import Reading
from accredit.stores.rows import Row
from accredit.stores.steps import Step, UnitOfWork

KEPT_OF_EACH = 20
"""Traces of one registration: the newest tell what is wrong, the older ones tell it again."""

_FORGOTTEN_AT_ONCE = 500
_KINDS = {kind.value: kind for kind in EnrollmentKind}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DecisionTrace).decode


# Changes.


def disallow_all(group_key: str, change: c.Change) -> Step:
    return sql.DISALLOW_ALL, (group_key,), None, change


def end_setbacks(registration_key: str, change: c.Change) -> Step:
    return sql.END_SETBACKS, (registration_key,), None, change


def _save_trace(change: c.SaveTrace, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    trace = change.trace
    key = trace.registration_key
    values = (trace.tracking_id, key, trace.traced_at, _encode(trace).decode())
    unit.steps.append((sql.SAVE_TRACE, values, 1, change))
    unit.steps.append((sql.TRIM_TRACES, (key, key, KEPT_OF_EACH), None, change))


def _save_setbacks(change: c.SaveSetbacks, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.touches_setbacks = True
    unit.steps.append((sql.SAVE_SETBACKS, _setbacks_values(change.setbacks), 1, change))


def _end_setbacks(change: c.EndSetbacks, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append(end_setbacks(change.registration_id.key, change))


def _assert_room(change: c.AssertRoom, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    def has_room(row: Row | None) -> bool:
        return row is None

    unit.steps.append((sql.LAST_ALLOWED_MEMBER, (change.group.key, change.most - 1), has_room, change))


def _allow(change: c.AllowRegistrations, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    for each in change.registration_ids:
        unit.steps.append((sql.ALLOW, (change.group.key, each.key, each.text), None, change))


def _disallow(change: c.DisallowRegistrations, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    for each in change.registration_ids:
        unit.steps.append((sql.DISALLOW, (change.group.key, each.key), None, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    c.SaveTrace: _save_trace,
    c.SaveSetbacks: _save_setbacks,
    c.EndSetbacks: _end_setbacks,
    c.AssertRoom: _assert_room,
    c.AllowRegistrations: _allow,
    c.DisallowRegistrations: _disallow,
}
"""For `units.py`."""


# Reading.


class RefusalReads(Reading):
    """The part of `interfaces.Store` that is about refusals; the store gives it its way to the database."""

    _nobody_has_setbacks = False

    async def trace(self, tracking_id: str) -> DecisionTrace | None:
        row = await self._row(sql.TRACE, (tracking_id,))
        return None if row is None else _trace(row)

    async def traces(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[DecisionTrace]:
        limit = paging.bounded(limit)
        rest = (paging.after_id(cursor, "traces"), limit + 1)
        if registration_id is None:
            found = await self._rows(sql.TRACES, rest)
        else:
            found = await self._rows(sql.TRACES_OF_REGISTRATION, (registration_id.key, *rest))
        return paging.page(found, limit, _trace, lambda row: row[0], "traces")

    async def forget_refusals(self, before: int, most: int) -> None:
        # In portions, so that registrations can be committed between them.
        while await self._row(sql.OLD_TRACE, (before,)) is not None:
            await self._submit((sql.FORGET_OLD_TRACES, (before, _FORGOTTEN_AT_ONCE), None, None))
        while (surplus := await self._row(sql.SURPLUS_TRACE, (most,))) is not None:
            portion = (surplus[0], _FORGOTTEN_AT_ONCE)
            await self._submit((sql.FORGET_SURPLUS_TRACES, portion, None, None))
        await self._submit((sql.FORGET_SETBACKS, (before,), None, None))

    async def setbacks(self, registration_id: RegistrationId) -> Setbacks | None:
        if self._nobody_has_setbacks:
            return None
        row = await self._row(sql.SETBACKS, (registration_id.key,))
        if row is None:
            if self.alone:
                self._nobody_has_setbacks = await self._row(sql.ANY_SETBACKS, ()) is None
            return None
        return _setbacks(row)

    async def allows(self, group: GroupId, registration_id: RegistrationId) -> bool:
        return await self._row(sql.ALLOWS, (group.key, registration_id.key)) is not None

    async def allowed(self, group: GroupId, cursor: str | None, limit: int) -> Page[RegistrationId]:
        limit = paging.bounded(limit)
        found = await self._rows(sql.ALLOWED, (group.key, paging.after_key(cursor, "allowed"), limit + 1))
        return paging.page(found, limit, _registration_id, lambda row: row[0], "allowed")


def _trace(row: Row) -> DecisionTrace:
    return _decode(row[1])


def _registration_id(row: Row) -> RegistrationId:
    return RegistrationId(row[1], row[0])


def _setbacks_values(setbacks: Setbacks) -> tuple[Any, ...]:
    return (
        setbacks.registration_id.key,
        setbacks.registration_id.text,
        setbacks.enrollment.kind.value,
        setbacks.enrollment.key,
        setbacks.enrollment_etag,
        setbacks.failures,
        setbacks.rule,
        setbacks.reason,
        setbacks.tracking_id,
        setbacks.first_at,
        setbacks.last_at,
        setbacks.paused_at,
    )


def _setbacks(row: Row) -> Setbacks:
    (key, text, enrollment_kind, enrollment_key, *rest) = row
    return Setbacks(RegistrationId(text, key), EnrollmentRef(_KINDS[enrollment_kind], enrollment_key), *rest)
