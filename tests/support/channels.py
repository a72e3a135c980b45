"""Ways to carry a protocol's bytes to the service from a test: TLS alone, or WebSocket inside it. Blocking."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from support.running_service import RunningService

PATIENCE_S = 90.0


class Channel(Protocol):
    """What a socket does, as far as the devices of the tests need it."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


Open = Callable[[RunningService, tuple[Path, Path] | None, float], Channel]
"""(service, client certificate and key, seconds of patience) -> a connection."""


def tls_socket(
    service: RunningService,
    port: int,
    certificate: tuple[Path, Path] | None = None,
    patience_s: float = PATIENCE_S,
) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(service.trust_root))
    if certificate is not None:
        context.load_cert_chain(*certificate)
    plain = socket.create_connection((service.host, port), timeout=patience_s)
    try:
        return context.wrap_socket(plain, server_hostname=service.host)
    except BaseException:
        plain.close()
        raise


@dataclass
class WebSocketChannel:
    """Bytes in binary frames; after the service's close frame there is nothing more to read."""

    below: ssl.SSLSocket
    host: str
    path: str
    subprotocol: str
    _frames: ClientProtocol = field(init=False)
    _arrived: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        uri = parse_uri(f"wss://{self.host}{self.path}")
        self._frames = ClientProtocol(uri, subprotocols=[Subprotocol(self.subprotocol)])
        self._frames.send_request(self._frames.connect())
        self._flush()
        while self._frames.handshake_exc is None and not self._opened():
            self._feed()
        if self._frames.handshake_exc is not None:
            raise self._frames.handshake_exc

    def _opened(self) -> bool:
        return any(not isinstance(event, Frame) for event in self._frames.events_received())

    def sendall(self, data: bytes) -> None:
        self._frames.send_binary(data)
        self._flush()

    def recv(self, _: int) -> bytes:
        while not self._arrived and not self._frames.close_expected() and not self._frames.parser_exc:
            if not self._feed():
                return b""
            for event in self._frames.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                    self._arrived += event.data
        data = bytes(self._arrived)
        self._arrived.clear()
        return data

    def close(self) -> None:
        self.below.close()

    def _feed(self) -> bool:
        data = self.below.recv(65_536)
        if data:
            self._frames.receive_data(data)
        else:
            self._frames.receive_eof()
        self._flush()
        return bool(data)

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            if data:
                self.below.sendall(data)


def mqtt(service: RunningService, certificate: tuple[Path, Path] | None, patience_s: float) -> ssl.SSLSocket:
    """Port 8883."""
    return tls_socket(service, service.mqtt_port, certificate, patience_s)


def websocket(path: str, subprotocol: str = "mqtt") -> Open:
    """Port 443, at this path."""

    def opened(
        service: RunningService, certificate: tuple[Path, Path] | None, patience_s: float
    ) -> WebSocketChannel:
        below = tls_socket(service, service.https_port, certificate, patience_s)
        try:
            return WebSocketChannel(below, service.host, path, subprotocol)
        except BaseException:
            below.close()
            raise

    return opened


MQTT_CHANNELS: dict[str, Open] = {
    "mqtt": mqtt,
    "websocket": websocket("/$iothub/websocket"),
    "websocket at the root": websocket("/", "MQTT"),
}
"""Every way to reach the front that speaks MQTT."""


def amqp(service: RunningService, certificate: tuple[Path, Path] | None, patience_s: float) -> ssl.SSLSocket:
    """Port 5671."""
    return tls_socket(service, service.amqp_port, certificate, patience_s)


AMQP_CHANNELS: dict[str, Open] = {
    "amqp": amqp,
    "amqp in a websocket": websocket("/$iothub/websocket", "AMQPWSB10"),
    "amqp in a websocket at the root": websocket("/", "amqpwsb10"),
}
"""Every way to reach the front that speaks AMQP."""
