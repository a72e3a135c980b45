"""MQTT conversations as transcripts: `client >> packet` is what arrives, `server << packet` what must leave.

The server's side is a real connection over a transport that keeps what is written; the client's side is the codec from
the other end. Nothing may leave that the transcript does not tell.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accredit.wire import mqtt, topics
from support.waiting import until

_TURNS = 50


class RecordingTransport(asyncio.Transport):
    """An asyncio transport without a socket; once closed it tells its protocol, as a real one does, a turn later."""

    def __init__(self, source: str = "192.0.2.7", peer_chain: tuple[bytes, ...] = ()) -> None:
        super().__init__({"peername": (source, 40000), "peer_chain": peer_chain})
        self.written = bytearray()
        self.writes = 0
        self.closing = False
        self.aborted = False
        self.reading = True
        self.protocol: asyncio.Protocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing, "written after close"
        self.written += data
        self.writes += 1

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self._gone)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def _gone(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass(frozen=True)
class Line:
    arrives: bool
    what: Any


class _Client:
    def __rshift__(self, what: mqtt.Packet | bytes | _End) -> Line:
        """A packet, or raw bytes, or `gone`."""
        return Line(arrives=True, what=what)


class _Server:
    def __lshift__(self, what: mqtt.Packet | Answer | _End) -> Line:
        """A packet, an `Answer`, or `closed`."""
        return Line(arrives=False, what=what)


class _End:
    pass


client = _Client()
server = _Server()
gone = _End()
"""The client's connection is lost without a DISCONNECT."""
closed = _End()
"""The server ends the connection."""


@dataclass(frozen=True)
class Answer:
    """A PUBLISH on DPS's response topic: its parts, and members that its JSON body must have (dotted for nested ones)."""

    status: int
    rid: str
    packet_id: int | None
    members: dict[str, Any]
    retry_after_s: int | None = None

    def check(self, packet: mqtt.Packet) -> None:
        assert isinstance(packet, mqtt.Publish), packet
        topic = topics.Response(self.status, self.rid, self.retry_after_s)
        assert topics.parse_dps_response(packet.topic) == topic, packet
        assert packet.packet_id == self.packet_id
        assert packet.qos == (0 if self.packet_id is None else 1)
        body = json.loads(packet.payload)
        for name, expected in self.members.items():
            found = body
            for part in name.split("."):
                found = found[part]
            assert found == expected, (name, body)


class Transcript:
    """One connection and its conversation so far."""

    def __init__(
        self,
        connection: Callable[[], asyncio.Protocol],
        *,
        source: str = "192.0.2.7",
        peer_chain: tuple[bytes, ...] = (),
    ) -> None:
        self.transport = RecordingTransport(source, peer_chain)
        self.connection = connection()
        self._decoder = mqtt.Decoder(max_packet_bytes=1 << 20)
        self._heard: list[mqtt.Packet] = []
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)

    async def play(self, *lines: Line) -> None:
        """Run the lines in order; at the end nothing else may have been said."""
        for number, line in enumerate(lines, 1):
            if line.arrives:
                assert not self.transport.closing, f"line {number}: the server has closed the connection"
                self._arrive(line.what)
            else:
                await self._leave(line.what, number)
        await self._settle()
        self._hear()
        assert self._heard == [], "the server said more"
        assert self.transport.closing == (bool(lines) and lines[-1].what in (closed, gone)), "closed?"

    def _arrive(self, what: mqtt.Packet | bytes | _End) -> None:
        if isinstance(what, _End):
            self.transport.abort()
        else:
            self.connection.data_received(what if isinstance(what, bytes) else mqtt.encode(what))

    async def _leave(self, what: mqtt.Packet | Answer | _End, number: int) -> None:
        if isinstance(what, _End):
            await until(
                lambda: self.transport.closing, lambda: f"line {number}: the connection is still open"
            )
            await self._settle()
            self._hear()
            assert self._heard == [], f"line {number}: the server said more before it closed"
            return

        def heard() -> bool:
            self._hear()
            return bool(self._heard)

        await until(heard, lambda: f"line {number}: the server is silent instead of {what}")
        packet = self._heard.pop(0)
        if isinstance(what, Answer):
            what.check(packet)
        else:
            assert packet == what, f"line {number}"

    def _hear(self) -> None:
        data = bytes(self.transport.written)
        self.transport.written.clear()
        self._heard += self._decoder.feed(data)

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
