"""Cuts: sessions that end because another process has revoked, disabled, moved or removed their device.

What ends a session is committed together with its reason (`changes.CutSession`), and every process looks for that once a
second: no bus is needed for it, which only makes it faster. A session that was opened at the very moment is judged again
by whoever opened it. The process that has made the cut finds it too, a second later, and may end a session that was
opened since: the device comes back.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from accredit.domain.subjects import Subject
from accredit.hub.sessions import Sessions
from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.processes import Bus, TellsCuts

LOOK_S = 1.0
OVERLAP_S = 60
"""How long a commit may take, in seconds: what is found then bears the instant at which it was begun."""

KEPT_S = 3_600
"""Who did not look for so long does not know what was cut meanwhile."""

UNKNOWN = "this process could not tell whether the device was revoked meanwhile"


class TellsTime(Protocol):
    """The database's clock, looked at before each look for cuts."""

    async def look(self) -> None:
        """Raises StoreUnavailable."""
        ...

    def now(self) -> float: ...


class Cuts:
    """Looks for them while it runs."""

    def __init__(self, store: TellsCuts, sessions: Sessions, bus: Bus, time: TellsTime) -> None:
        self._store = store
        self._sessions = sessions
        self._bus = bus
        self._time = time
        self._seen: dict[int, int] = {}
        self._looked_at: float | None = None
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._bus.hear(Subject.CUTS, lambda _: self._woken.set())
        self._task = asyncio.create_task(self._watch(), name="session cuts")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """End what is to be ended. Raises StoreUnavailable."""
        await self._time.look()
        now = self._time.now()
        before = self._looked_at if self._looked_at is not None else now
        if now - before > KEPT_S:
            self._sessions.end_all(UNKNOWN)
        since = int(before) - OVERLAP_S
        for cut in await self._store.session_cuts(since):
            if cut.id not in self._seen:
                self._seen[cut.id] = cut.cut_at
                self._sessions.end_here(cut.device_id, cut.reason, cut.hub)
        self._seen = {number: at for number, at in self._seen.items() if at >= since}
        self._looked_at = now

    async def _watch(self) -> None:
        down = False
        while True:
            self._woken.clear()
            try:
                await self.look()
                down = False
            except StoreUnavailable as failure:
                if not down:
                    log.warning("store-unavailable", work="session-cuts", reason=str(failure))
                down = True
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                log.exception("session-cuts-failed")
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._woken.wait()
            except TimeoutError:
                continue
