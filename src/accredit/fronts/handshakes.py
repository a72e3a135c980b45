"""How many TLS handshakes go on at once, over all listeners: the others wait their turn, each source in its own line.

A handshake holds tens of kilobytes and most of what a connection costs. When a whole fleet comes back at once, all of them begun together
would all end late, some after their peers have given up, and in as much memory as there are peers. Here a few go on, and those that
wait cost what they have said. Lines take turns, so that one address with thousands of connections keeps nobody else waiting; and
while others wait a turn lasts a second, so that peers which begin and say no more block nobody: they go on beside those whose turn it is, until their own deadline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from accredit.policy.limits import source_of

AT_ONCE = 256
TURN_S = 1.0


class Waits(Protocol):
    """A connection whose handshake waits."""

    def begin(self) -> None:
        """Its turn has come. It must `leave` when the handshake has ended, one way or the other."""


class Timers(Protocol):
    """The part of an event loop that turns need."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], Any], /) -> asyncio.TimerHandle: ...


class Handshakes:
    """All methods belong to the event loop's thread."""

    def __init__(self, at_once: int = AT_ONCE, turn_s: float = TURN_S, timers: Timers | None = None) -> None:
        """`timers` is the running event loop unless another is given."""
        self._at_once = at_once
        self._turn_s = turn_s
        self._timers = timers
        self._going_on: dict[Waits, float] = {}
        """Since when, the longest first."""
        self._lines: dict[str, deque[Waits]] = {}
        self._line_of: dict[Waits, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def going_on(self) -> int:
        """Whose turn it is."""
        return len(self._going_on)

    @property
    def waiting(self) -> int:
        return len(self._line_of)

    def enter(self, connection: Waits, address: str) -> bool:
        """Whether the handshake may begin at once; if not, `begin` is called later."""
        if len(self._going_on) < self._at_once:
            self._going_on[connection] = self._loop.time()
            return True
        source = source_of(address)
        self._lines.setdefault(source, deque()).append(connection)
        self._line_of[connection] = source
        self._watch()
        return False

    def leave(self, connection: Waits) -> None:
        """The handshake has ended, or its connection is gone; twice is as once."""
        self._line_of.pop(connection, None)
        if self._going_on.pop(connection, None) is not None:
            self._go_on()

    @property
    def _loop(self) -> Timers:
        return asyncio.get_running_loop() if self._timers is None else self._timers

    def _go_on(self) -> None:
        """Give free turns to those who wait."""
        while len(self._going_on) < self._at_once and (following := self._next()) is not None:
            self._going_on[following] = self._loop.time()
            following.begin()

    def _next(self) -> Waits | None:
        """The first of the line whose turn it is; who has left meanwhile is passed over."""
        while self._lines:
            source, line = next(iter(self._lines.items()))
            del self._lines[source]
            connection = line.popleft()
            if line:
                self._lines[source] = line
            if self._line_of.pop(connection, None) is not None:
                return connection
        return None

    def _watch(self) -> None:
        """Look again when the longest turn is over, as long as somebody waits."""
        if self._timer is None and self._line_of and self._going_on:
            longest = next(iter(self._going_on.values()))
            self._timer = self._loop.call_at(longest + self._turn_s, self._pass_on)

    def _pass_on(self) -> None:
        self._timer = None
        if self._line_of:
            over = self._loop.time() - self._turn_s
            for connection in [each for each, since in self._going_on.items() if since <= over]:
                del self._going_on[connection]
            self._go_on()
        self._watch()
