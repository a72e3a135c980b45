"""HTTP conversations with the device API: bytes as an SDK writes them, to a real connection over a transport without a socket.

Answers are read with the names of their headers as they were written, since some clients look at the case.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httptools

from accredit.domain.registration import Answer as Outcome
from accredit.fronts import device_api
from accredit.fronts.https import https_front
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.mqtt_transcript import RecordingTransport
from support.scripted_provisioning import ScriptedProvisioning
from support.waiting import until


@dataclass
class HTTPAnswer:
    """One answer; `fields` are its headers as they came, `headers` by lower-case name."""

    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.fields}

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class _Reading:
    """The callbacks of httptools."""

    def __init__(self) -> None:
        self.answers: list[HTTPAnswer] = []
        self._now = HTTPAnswer()
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self._now = HTTPAnswer()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._now.fields.append((name.decode(), value.decode()))

    def on_body(self, body: bytes) -> None:
        self._now.body += body

    def on_message_complete(self) -> None:
        self._now.status = self.parser.get_status_code()
        self.answers.append(self._now)


def read_answers(data: bytes) -> list[HTTPAnswer]:
    """The answers in what came over a connection."""
    reading = _Reading()
    with suppress(httptools.HttpParserUpgrade):
        reading.parser.feed_data(data)
    return reading.answers


class _Transport(RecordingTransport):
    def linger(self) -> None:
        self.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol


class HTTPScene:
    """One device before one service: `script` is what the ceremony answers, one after the other."""

    def __init__(
        self,
        *script: Outcome | Exception,
        peer_chain: tuple[bytes, ...] = (),
        websockets: Mapping[str, Callable[[], asyncio.BaseProtocol]] | None = None,
    ) -> None:
        self.provisioning = ScriptedProvisioning(*script)
        clock, entropy = HandClock(), CountedEntropy()
        routes = device_api.routes(self.provisioning, clock, entropy)
        front = https_front(routes, clock, entropy, websockets=websockets)
        self.transport = _Transport(peer_chain=peer_chain)
        self.connection = front.connection()
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)

    async def says(self, data: bytes) -> HTTPAnswer:
        """Send one request; its one answer."""
        self.hears(data)
        await until(lambda: read_answers(bytes(self.transport.written)))
        (answer,) = read_answers(bytes(self.transport.written))
        self.transport.written.clear()
        return answer

    def hears(self, data: bytes) -> None:
        """Give bytes to whatever protocol the connection has by now."""
        assert self.transport.protocol is not None
        assert not self.transport.closing
        self.transport.protocol.data_received(data)

    def close(self) -> None:
        self.transport.abort()
