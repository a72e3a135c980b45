"""Cuts: sessions that end because another process has revoked, disabled, moved or removed their device.

What ends a session is committed together with its reason (`changes.CutSession`), and every process looks for that once a
second: no bus is needed for it, which only makes it faster. A session that was opened at the very moment is judged again
by whoever opened it. The process that has made the cut finds it too, a second later, and may end a session that was
opened since: the device comes back.
"""

from __future__ import annotations

import asyncio

from accredit.domain.subjects import Subject
from accredit.hub.sessions import Sessions
from accredit.interfaces import Clock, StoreUnavailable
from accredit.observe import log
from accredit.processes import Bus, TellsCuts

LOOK_S = 1.0

KEPT_S = 3_600
"""Who did not look for so long does not know what was cut meanwhile."""

UNKNOWN = "this process could not tell whether the device was revoked meanwhile"

_AT_ONCE = 1_000


class Cuts:
    """Looks for them while it runs."""

    def __init__(self, store: TellsCuts, sessions: Sessions, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._sessions = sessions
        self._bus = bus
        self._clock = clock
        self._newest: int | None = None
        self._looked_at = clock.monotonic()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Whoever connects from here on is cut as others are. Raises StoreUnavailable."""
        self._newest = await self._store.newest_session_cut()
        self._bus.hear(Subject.CUTS, lambda _: self._woken.set())
        self._task = asyncio.create_task(self._watch(), name="session cuts")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """End what is to be ended. Raises StoreUnavailable."""
        assert self._newest is not None, "it was started"
        more = True
        while more:
            found = await self._store.session_cuts(self._newest, _AT_ONCE)
            for cut in found:
                self._sessions.end_here(cut.device_id, cut.reason, cut.hub)
                self._newest = cut.number
            more = len(found) == _AT_ONCE
        now = self._clock.monotonic()
        if now - self._looked_at > KEPT_S:
            self._sessions.end_all(UNKNOWN)
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
