"""AMQP conversations byte by byte: the client's frames are made here, the server's are a real connection's.

The client has no engine that would keep it from mischief. What the server says is read frame by frame; a script demands
each of them by the name of its performative, in order (AMQP 1.0, 2.7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accredit.fronts.amqp import AmqpConnection
from accredit.wire import amqp_sasl as sasl
from accredit.wire import amqp_types as t
from accredit.wire.amqp_sasl import AMQP_HEADER, SASL_HEADER
from accredit.wire.amqp_types import Described, Reader
from support.mqtt_transcript import RecordingTransport
from support.waiting import until

_TURNS = 50

NAMES = {
    0x10: "open", 0x11: "begin", 0x12: "attach", 0x13: "flow", 0x14: "transfer",
    0x15: "disposition", 0x16: "detach", 0x17: "end", 0x18: "close",
}  # fmt: skip
ACCEPTED, REJECTED = 0x24, 0x25

SENDER, RECEIVER = False, True
"""A link's role, as the peer that attaches it says it."""


def frame(performative: bytes, payload: bytes = b"", channel: int = 0) -> bytes:
    body = performative + payload
    return (8 + len(body)).to_bytes(4, "big") + b"\x02\x00" + channel.to_bytes(2, "big") + body


def open_(hostname: str = "localhost", *, frame_bytes: int = 65_536, idle_ms: int | None = None) -> bytes:
    idle = t.NULL if idle_ms is None else t.uint(idle_ms)
    fields = t.string("device"), t.string(hostname), t.uint(frame_bytes), t.ushort(100), idle
    return frame(t.described(0x10, t.sequence(*fields)))


def begin(channel: int = 0) -> bytes:
    return frame(
        t.described(0x11, t.sequence(t.NULL, t.uint(0), t.uint(1000), t.uint(1000))), channel=channel
    )


def attach(
    handle: int,
    role: bool,  # noqa: FBT001 - AMQP's own form of it
    address: str | None,
    *,
    name: str | None = None,
    properties: dict[str, str] | bytes | None = None,
    settle: int | None = None,
    channel: int = 0,
) -> bytes:
    """`properties` may be an encoded value, to say what no client says."""
    where = t.NULL if address is None else t.string(address)
    if isinstance(properties, dict):
        said = (part for key, value in properties.items() for part in (t.symbol(key), t.string(value)))
        properties = t.mapping(*said)
    fields = (
        t.string(name or f"link-{handle}"), t.uint(handle), t.boolean(role),
        t.NULL if settle is None else t.ubyte(settle), t.NULL,
        t.described(0x28, t.sequence(where)), t.described(0x29, t.sequence(where)),
        t.NULL, t.NULL, t.NULL if role else t.uint(0), t.NULL, t.NULL, t.NULL,
        t.NULL if properties is None else properties,
    )  # fmt: skip
    return frame(t.described(0x12, t.sequence(*fields)), channel=channel)


def flow(handle: int, credit: int, *, drain: bool = False, channel: int = 0) -> bytes:
    window = t.uint(0), t.uint(1000), t.uint(0), t.uint(1000)
    fields = *window, t.uint(handle), t.uint(0), t.uint(credit), t.NULL, t.boolean(drain)
    return frame(t.described(0x13, t.sequence(*fields)), channel=channel)


def transfer(
    handle: int, number: int, payload: bytes, *, settled: bool = False, more: bool = False,
    aborted: bool = False, channel: int = 0, message_format: int = 0,
) -> bytes:  # fmt: skip
    fields = (
        t.uint(handle), t.uint(number), t.binary(number.to_bytes(4, "big")), t.uint(message_format),
        t.boolean(settled), t.boolean(more), t.NULL, t.NULL, t.NULL, t.boolean(aborted),
    )  # fmt: skip
    return frame(t.described(0x14, t.sequence(*fields)), payload, channel)


def settled(number: int, *, channel: int = 0) -> bytes:
    """A receiver's disposition: accepted and settled."""
    outcome = t.described(ACCEPTED, t.sequence())
    fields = t.boolean(RECEIVER), t.uint(number), t.NULL, t.boolean(True), outcome
    return frame(t.described(0x15, t.sequence(*fields)), channel=channel)


def detach(handle: int, *, channel: int = 0) -> bytes:
    return frame(t.described(0x16, t.sequence(t.uint(handle), t.boolean(True))), channel=channel)


def end(channel: int = 0) -> bytes:
    return frame(t.described(0x17, t.sequence()), channel=channel)


def close() -> bytes:
    return frame(t.described(0x18, t.sequence()))


HEARTBEAT = frame(b"")


@dataclass(frozen=True)
class Heard:
    """One frame of the server."""

    name: str
    fields: list[Any]
    payload: bytes = b""
    channel: int = 0

    def __getitem__(self, index: int) -> Any:
        return self.fields[index] if index < len(self.fields) else None

    @property
    def error(self) -> tuple[str, str | None]:
        """Condition and description of a detach, end, close, or of a rejecting disposition."""
        value = self[4].value[0] if self.name == "disposition" else self[2 if self.name == "detach" else 0]
        assert isinstance(value, Described), f"no error in {self}"
        condition, description, *_ = [*value.value, None]
        return str(condition), description


class AmqpScript:
    """One connection and what it has said."""

    def __init__(
        self, connection: Callable[[], AmqpConnection], *, peer_chain: tuple[bytes, ...] = ()
    ) -> None:
        self.transport = RecordingTransport("192.0.2.7", peer_chain)
        self.connection = connection()
        self.transport.protocol = self.connection
        self._data = bytearray()
        self.connection.connection_made(self.transport)

    def says(self, *parts: bytes | sasl.Frame) -> None:
        """All in one piece, as pipelining clients do."""
        data = b"".join(part if isinstance(part, bytes) else sasl.encode(part) for part in parts)
        self.connection.data_received(data)

    def drips(self, *parts: bytes | sasl.Frame) -> None:
        """One byte at a time."""
        for byte in b"".join(part if isinstance(part, bytes) else sasl.encode(part) for part in parts):
            self.connection.data_received(bytes([byte]))

    async def hears_header(self, header: bytes) -> None:
        await self._until(8)
        assert bytes(self._data[:8]) == header
        del self._data[:8]

    async def hears_sasl(self) -> sasl.Frame:
        await self._until(8)
        size = int.from_bytes(self._data[:4], "big")
        await self._until(size)
        (found,) = sasl.Decoder().feed(bytes(self._data[:size]))
        del self._data[:size]
        return found

    async def hears(self, name: str) -> Heard:
        """The next frame, which must be of this name; heartbeats, and flows that are not asked for, do not count."""
        heard = await self._next()
        while heard.name == "flow" != name:
            heard = await self._next()
        assert heard.name == name, f"{heard} instead of {name}"
        return heard

    async def is_closed(self) -> None:
        """The server has ended the connection, and said nothing else."""
        await until(lambda: self.transport.closing, lambda: "the connection is still open")
        await self._settle()
        assert not self._rest(), bytes(self._data)

    async def is_silent(self) -> None:
        await self._settle()
        assert not self._rest(), bytes(self._data)
        assert not self.transport.closing

    def _rest(self) -> bytes:
        """What is left to be heard; heartbeats do not count."""
        return bytes(self._data).replace(HEARTBEAT, b"")

    async def begins(self, hostname: str = "localhost") -> None:
        """AMQP without a login, up to a session."""
        self.says(AMQP_HEADER, open_(hostname), begin())
        await self.hears_header(AMQP_HEADER)
        await self.hears("open")
        await self.hears("begin")

    async def logs_in(self, init: sasl.Init, hostname: str = "localhost") -> None:
        """By one word, then AMQP up to a session."""
        self.says(SASL_HEADER, init)
        await self.hears_header(SASL_HEADER)
        assert isinstance(await self.hears_sasl(), sasl.Mechanisms)
        assert await self.hears_sasl() == sasl.Outcome(sasl.OK)
        await self.begins(hostname)

    async def _next(self) -> Heard:
        while True:
            await self._until(8)
            size = int.from_bytes(self._data[:4], "big")
            await self._until(size)
            body, channel = bytes(self._data[8:size]), int.from_bytes(self._data[6:8], "big")
            del self._data[:size]
            if body:
                reader = Reader(body)
                performative = reader.value()
                return Heard(NAMES[performative.descriptor], performative.value, body[reader.at :], channel)

    async def _until(self, size: int) -> None:
        def heard() -> bool:
            self._hear()
            return len(self._data) >= size

        await until(heard, lambda: f"the server is silent after {bytes(self._data)!r}")

    def _hear(self) -> None:
        self._data += self.transport.written
        self.transport.written.clear()

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        self._hear()
