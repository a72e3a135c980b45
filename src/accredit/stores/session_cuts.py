"""Connections to be ended, as every process reads them: numbered in the order of their commits, which may take any time.

The database's own clock says when each was written; that is for their deletion alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.ids import DeviceId
from accredit.domain.session_cut import SessionCut
from accredit.stores.reading import Reading
from accredit.stores.steps import UnitOfWork

CUT = "INSERT INTO session_cuts (hub, device_id, reason) VALUES (?, ?, ?)"
_CUTS = "SELECT id, hub, device_id, reason FROM session_cuts WHERE id > ? ORDER BY id LIMIT ?"
_NEWEST = "SELECT COALESCE(MAX(id), 0) FROM session_cuts"
_FORGET = "DELETE FROM session_cuts WHERE cut_at < ?"


def _cut(change: c.CutSession, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((CUT, (change.hub, change.device_id.text, change.reason), 1, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {c.CutSession: _cut}


class SessionCutReads(Reading):
    """The reading half of the store for them."""

    async def session_cuts(self, after: int, limit: int) -> Sequence[SessionCut]:
        found = await self._rows(_CUTS, (after, limit))
        return [
            SessionCut(number, hub, DeviceId(device_id), reason) for number, hub, device_id, reason in found
        ]

    async def newest_session_cut(self) -> int:
        return await self._count(_NEWEST, ())

    async def forget_session_cuts(self, before: int) -> None:
        await self._submit((_FORGET, (before,), None, None))
