"""Messages on their way into the telemetry log: in order, bounded, acknowledged when durable.

All connections share one queue. While what was gathered is being written the next gathers, so devices share the wait for the
disk with each other and with themselves. Messages of a connection are acknowledged in the order in which they came (MQTT 3.1.1, 4.6), those
that became durable together by one call. After the first one that can't be kept nothing more is taken: what was not acknowledged, the device sends
again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from accredit.domain.device import Telemetry
from accredit.interfaces import StoreUnavailable, TelemetryLog
from accredit.observe import log

_TOGETHER = 1_024
_TOGETHER_BYTES = 4 * 1_048_576
_MESSAGE_BYTES = 1_024
_PROPERTY_BYTES = 256
"""What a message and one of its properties take in memory beside their text, roughly."""


Key = TypeVar("Key")
"""What a connection acknowledges a message by."""

_Entry = tuple["Appending[Any]", Telemetry, int, Any]
"""Whose it is, the message, its size in memory, and its key, None where nothing acknowledges it."""


class InFlight:
    """What all connections together have on its way: the queue, its bytes in memory, and how many may be."""

    def __init__(self, telemetry: TelemetryLog, *, max_bytes: int = 64 * 1_048_576) -> None:
        self.telemetry = telemetry
        self.max_bytes = max_bytes
        self.bytes = 0
        self._queue: deque[_Entry] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def drained(self) -> None:
        """Return when nothing is on its way any more."""
        while self._writing is not None:
            await asyncio.wait({self._writing})

    def put(self, entry: _Entry) -> None:
        self._queue.append(entry)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while batch := self._gathered():
                reason = await self._append([message for _, message, _, _ in batch])
                _settle(batch, reason)
        finally:
            self._writing = None

    def _gathered(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size = 0
        while self._queue and len(batch) < _TOGETHER and size < _TOGETHER_BYTES:
            entry = self._queue.popleft()
            if entry[0].broken:
                entry[0].left(entry[2])
                continue
            size += entry[2]
            batch.append(entry)
        return batch

    async def _append(self, messages: list[Telemetry]) -> str | None:
        """Why they could not be kept."""
        try:
            await self.telemetry.append(messages)
        except StoreUnavailable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a defect must not leave every later message without an answer
            log.error("telemetry-bug", evidence=repr(error))
            return "internal error"
        return None


class Appending(Generic[Key]):
    """One connection's part of it. `failed` is called once, when a message could not be kept."""

    __slots__ = (
        "_acknowledge",
        "_bytes",
        "_emptied",
        "_failed",
        "_in_flight",
        "_max_bytes",
        "_max_messages",
        "_messages",
        "broken",
    )

    def __init__(
        self,
        in_flight: InFlight,
        acknowledge: Callable[[list[Key]], None],
        failed: Callable[[str], None],
        *,
        max_messages: int = 4_096,
        max_bytes: int = 8 * 1_048_576,
    ) -> None:
        """`acknowledge` is called with the keys of messages that are durable now, in their order."""
        self.broken = False
        self._in_flight = in_flight
        self._acknowledge = acknowledge
        self._failed = failed
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._messages = 0
        self._bytes = 0
        self._emptied: Callable[[], None] | None = None

    def take(self, message: Telemetry, key: Key | None) -> None:
        """Queue a message; when it is durable its key is acknowledged, unless that is None."""
        if self.broken:
            return
        size = _size(message)
        self._messages += 1
        self._bytes += size
        self._in_flight.bytes += size
        if self._bytes > self._max_bytes or self._messages > self._max_messages:
            self.left(size)
            self._give_up("the device sends faster than its messages can be stored")
        elif self._in_flight.bytes > self._in_flight.max_bytes:
            self.left(size)
            self._give_up("the hub holds as many messages in memory as it may")
        else:
            self._in_flight.put((self, message, size, key))

    def when_empty(self, then: Callable[[], None]) -> None:
        """Call `then` once nothing is on its way: now, or later."""
        if self._messages:
            self._emptied = then
        else:
            then()

    def left(self, size: int) -> None:
        """A message of this size is no longer on its way."""
        self._messages -= 1
        self._bytes -= size
        self._in_flight.bytes -= size

    def settle(self, durable: list[Key], reason: str | None) -> None:
        """Messages have left the queue: the keys of those that are durable, or why none is."""
        if reason is not None:
            self._give_up(reason)
        elif durable:
            self._acknowledge(durable)
        if not self._messages and self._emptied is not None:
            self._emptied()

    def _give_up(self, reason: str) -> None:
        if not self.broken:
            self.broken = True
            self._failed(reason)


def _settle(batch: list[_Entry], reason: str | None) -> None:
    """Tell each connection once, in the order in which its messages came."""
    durable: dict[Appending[Any], list[Any]] = {}
    for owner, _, size, key in batch:
        owner.left(size)
        mine = durable.setdefault(owner, [])
        if key is not None:
            mine.append(key)
    for owner, mine in durable.items():
        try:
            owner.settle(mine, reason)
        except Exception as error:  # noqa: BLE001 - one connection's defect must not leave the others without an answer
            log.error("telemetry-bug", evidence=repr(error))


def _size(message: Telemetry) -> int:
    """In memory: a topic full of tiny properties takes many times its own length."""
    size = len(message.body) + _MESSAGE_BYTES
    for name, value in message.properties.items():
        size += len(name) + len(value) + _PROPERTY_BYTES
    return size
