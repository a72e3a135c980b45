"""The database's clock, which is the same for every process, as one of them can tell it without asking each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from accredit.interfaces import Clock, StoreUnavailable

LOOK_S = 1.0


class DatabaseClock:
    """`interfaces.Clock`, never ahead of the database's: leases that were reckoned by it end in time."""

    def __init__(self, read: Callable[[], Awaitable[float]], clock: Clock) -> None:
        """`read` tells the database's time in Unix seconds. `look` before anything else is asked."""
        self._read = read
        self._clock = clock
        self._told = 0.0
        self._told_at = 0.0

    async def follow(self) -> None:
        """Never returns: look every second. While the database is away our own clock goes on."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(StoreUnavailable):
                await self.look()

    async def look(self) -> None:
        """Raises StoreUnavailable."""
        told = await self._read()
        # It was read at some moment before the answer came: what has passed since then is not counted.
        self._told, self._told_at = told, self._clock.monotonic()

    def now(self) -> float:
        return self._told + self._clock.monotonic() - self._told_at

    def monotonic(self) -> float:
        return self._clock.monotonic()
