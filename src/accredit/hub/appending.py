"""One connection's messages on their way into the telemetry log: in order, bounded, acknowledged when durable.

While one batch is being committed the next gathers, so a device that does not wait for its acknowledgements shares
commits with itself. Messages are acknowledged in the order in which they came (MQTT 3.1.1, 4.6). After the first one
that can't be kept nothing more is taken: what was not acknowledged, the device sends again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from accredit.domain.device import Telemetry
from accredit.interfaces import StoreUnavailable, TelemetryLog
from accredit.observe import log

_BATCH = 512
_MESSAGE_BYTES = 1_024
_PROPERTY_BYTES = 256
"""What a message and one of its properties take in memory beside their text, roughly."""


@dataclass(slots=True)
class InFlight:
    """What all connections together have on its way: bytes in memory, how many may be, and the tasks that write."""

    max_bytes: int = 64 * 1_048_576
    bytes: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def drained(self) -> None:
        """Return when nothing is on its way any more."""
        while self.tasks:
            await asyncio.wait(self.tasks)


@dataclass(frozen=True, slots=True)
class _Entry:
    message: Telemetry
    size: int
    acknowledge: Callable[[], None] | None


class Appending:
    """The queue of one connection. `failed` is called once, when a message could not be kept."""

    def __init__(
        self,
        telemetry: TelemetryLog,
        in_flight: InFlight,
        failed: Callable[[str], None],
        *,
        max_messages: int = 4_096,
        max_bytes: int = 8 * 1_048_576,
    ) -> None:
        self._telemetry = telemetry
        self._in_flight = in_flight
        self._failed = failed
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._queue: deque[_Entry] = deque()
        self._bytes = 0
        self._broken = False
        self._running = False
        self._emptied: Callable[[], None] | None = None

    def take(self, message: Telemetry, acknowledge: Callable[[], None] | None) -> None:
        """Queue a message; `acknowledge` is called when it is durable."""
        if self._broken:
            return
        size = _size(message)
        self._queue.append(_Entry(message, size, acknowledge))
        self._bytes += size
        self._in_flight.bytes += size
        if self._bytes > self._max_bytes or len(self._queue) > self._max_messages:
            self._give_up("the device sends faster than its messages can be stored")
        elif self._in_flight.bytes > self._in_flight.max_bytes:
            self._give_up("the hub holds as many messages in memory as it may")
        elif not self._running:
            self._running = True
            task = asyncio.get_running_loop().create_task(self._run())
            self._in_flight.tasks.add(task)
            task.add_done_callback(self._in_flight.tasks.discard)

    def when_empty(self, then: Callable[[], None]) -> None:
        """Call `then` once nothing is on its way: now, or later."""
        if self._running:
            self._emptied = then
        else:
            then()

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._append([self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))])
        finally:
            self._running = False
        if self._emptied is not None:
            self._emptied()

    async def _append(self, batch: list[_Entry]) -> None:
        outcomes = await asyncio.gather(
            *(self._telemetry.append(entry.message) for entry in batch), return_exceptions=True
        )
        self._release(batch)
        for entry, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, StoreUnavailable):
                self._give_up(str(outcome))
                return
            if isinstance(outcome, BaseException):
                log.error("telemetry-bug", evidence=repr(outcome))
                self._give_up("internal error")
                return
            if entry.acknowledge is not None:
                entry.acknowledge()

    def _give_up(self, reason: str) -> None:
        if self._broken:
            return
        self._broken = True
        self._release(self._queue)
        self._queue.clear()
        self._failed(reason)

    def _release(self, entries: list[_Entry] | deque[_Entry]) -> None:
        released = sum(entry.size for entry in entries)
        self._bytes -= released
        self._in_flight.bytes -= released


def _size(message: Telemetry) -> int:
    """In memory: a topic full of tiny properties takes many times its own length."""
    size = len(message.body) + _MESSAGE_BYTES
    for name, value in message.properties.items():
        size += len(name) + len(value) + _PROPERTY_BYTES
    return size
