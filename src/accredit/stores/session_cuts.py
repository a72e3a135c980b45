"""Connections to be ended, as every process reads them. The database's own clock says when each was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.ids import DeviceId
from accredit.domain.session_cut import SessionCut
from accredit.stores.reading import Reading
from accredit.stores.steps import UnitOfWork

_CUT = "INSERT INTO session_cuts (hub, device_id, reason) VALUES (?, ?, ?)"
_CUTS = "SELECT id, hub, device_id, reason, cut_at FROM session_cuts WHERE cut_at >= ? ORDER BY cut_at"
_FORGET = "DELETE FROM session_cuts WHERE cut_at < ?"


def _cut(change: c.CutSession, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((_CUT, (change.hub, change.device_id.text, change.reason), 1, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {c.CutSession: _cut}


class SessionCutReads(Reading):
    """The reading half of the store for them."""

    async def session_cuts(self, since: int) -> Sequence[SessionCut]:
        found = await self._rows(_CUTS, (since,))
        return [
            SessionCut(number, hub, DeviceId(device_id), reason, at)
            for number, hub, device_id, reason, at in found
        ]

    async def forget_session_cuts(self, before: int) -> None:
        await self._submit((_FORGET, (before,), None, None))
