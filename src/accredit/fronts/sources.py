"""How many connections one source address may hold, and open in a second, over all listeners.

No proof has been seen when a connection comes, so whoever stands behind the same address shares its lot: the bounds are
wide, there to leave others their part of the ceiling, and no judgement of anybody. An IPv6 source is its /64.
"""

from __future__ import annotations

from accredit.interfaces import Clock
from accredit.observe import log
from accredit.policy.limits import SECOND, Ledger, Rate, source_of

MAX_SOURCES = 16_384
BURST_S = 10
"""Seconds' worth of new connections that may come at once: a factory whose power is back."""


class Sources:
    """0 is no limit."""

    def __init__(self, clock: Clock, connections: int, per_second: int) -> None:
        self._clock = clock
        self._most = connections
        self._arrivals = (
            Ledger(Rate(per_second, 1, per_second * BURST_S), MAX_SOURCES) if per_second else None
        )
        self._open: dict[str, int] = {}
        # One line a minute for each: a flood must not become a flood of lines.
        self._lines = Ledger(Rate(1, 60, 1), MAX_SOURCES)
        self.refused = 0

    def enter(self, address: str) -> bool:
        """Whether one more connection of this address is taken."""
        source = source_of(address)
        held = self._open.get(source, 0)
        if self._most and held >= self._most:
            return self._turned_away(source, "it holds as many connections as one source may")
        if self._arrivals is not None and self._arrivals.take(source, self._now()):
            return self._turned_away(source, "it opens connections faster than one source may")
        if self._most:
            self._open[source] = held + 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was taken is gone."""
        if not self._most:
            return
        source = source_of(address)
        held = self._open[source] - 1
        if held:
            self._open[source] = held
        else:
            del self._open[source]

    def _turned_away(self, source: str, reason: str) -> bool:
        self.refused += 1
        if not self._lines.take(source, self._now()):
            log.warning("source-at-ceiling", source=source, reason=reason)
        return False

    def _now(self) -> int:
        return int(self._clock.monotonic() * SECOND)
