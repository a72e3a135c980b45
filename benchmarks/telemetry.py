"""What one device-to-cloud message costs the server: MQTT QoS 1 over TLS 1.2, durable before its PUBACK.

Devices are connected before the clock starts. Each keeps a window of messages unacknowledged; a window of one is a
device that waits for each acknowledgement before it sends the next.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import cast

import uvloop

from accredit.cli.local import client
from accredit.domain.access import Realm
from accredit.wire import mqtt, sas, topics
from accredit.wire.mqtt_packets import encode
from benchmarks.cpu import cpu_seconds, threads_cpu_seconds
from benchmarks.fleet import client_context
from benchmarks.service import Measured

DEVICES = 64

_BODY = b'{"temperature": 21.5, "humidity": 40, "line": "north", "at": "2026-01-01T00:00:00Z"}'
_SYSTEM = {"content-type": "application/json", "content-encoding": "utf-8"}


@dataclass(frozen=True, slots=True)
class MessageFigures:
    """CPU in microseconds of the server process for each message, of all its threads and of the two sorts of them."""

    cpu_us: float
    loop_us: float
    others_us: float
    per_second: float


class _Sender(asyncio.Protocol):
    """Connects, then sends when it is told how many."""

    def __init__(self, host: str, device_id: str, key: bytes) -> None:
        self._host = host
        self._device_id = device_id
        self._key = key
        self._decoder = mqtt.Decoder(max_packet_bytes=1_024)
        self._left = 0
        self._unacknowledged = 0
        self._number = 0
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self._topic = topics.format_telemetry(topics.TelemetryTopic(device_id, system=_SYSTEM))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        token = sas.make(f"{self._host}/devices/{self._device_id}", self._key, int(time.time()) + 3_600, None)
        name = topics.HubUserName(self._host, self._device_id, parameters={"api-version": "2021-04-12"})
        connect = mqtt.Connect(
            self._device_id,
            topics.format_hub_user_name(name),
            token.encode(),
            clean_session=False,
            keep_alive_s=60,
        )
        self._transport.write(encode(connect))

    def sends(self, count: int, window: int) -> asyncio.Future[None]:
        self.done = asyncio.get_running_loop().create_future()
        self._left = count
        self._fill(window)
        return self.done

    def _fill(self, room: int) -> None:
        room = min(room, self._left)
        packets = []
        for _ in range(room):
            self._number = self._number % 0xFFFF + 1
            packets.append(encode(mqtt.Publish(self._topic, _BODY, 1, self._number)))
        self._left -= room
        self._unacknowledged += room
        if packets:
            self._transport.write(b"".join(packets))

    def data_received(self, data: bytes) -> None:
        acknowledged = 0
        for packet in self._decoder.feed(data):
            match packet:
                case mqtt.PubAck():
                    acknowledged += 1
                case mqtt.ConnAck(code=0):
                    self.connected.set_result(None)
                case _:
                    self.connection_lost(RuntimeError(f"unexpected {packet}"))
        self._unacknowledged -= acknowledged
        self._fill(acknowledged)
        if not self._left and not self._unacknowledged and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.connected, self.done):
            if not future.done():
                future.set_exception(exc or RuntimeError("the hub closed the connection"))

    def leaves(self) -> None:
        self._transport.write(encode(mqtt.Disconnect()))
        self._transport.close()


def telemetry(service: Measured, count: int, windows: tuple[int, ...]) -> dict[int, MessageFigures]:
    """`count` messages of 64 devices together with each window."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(service, count, windows))


async def _measure(service: Measured, count: int, windows: tuple[int, ...]) -> dict[int, MessageFigures]:
    senders = await _connected(service)
    figures = {}
    for window in windows:
        each = count // len(senders)
        await asyncio.gather(*(sender.sends(max(each // 10, 1), window) for sender in senders))
        before, threads = cpu_seconds(service.pid), threads_cpu_seconds(service.pid)
        began = time.perf_counter()
        await asyncio.gather(*(sender.sends(each, window) for sender in senders))
        took = time.perf_counter() - began
        spent = cpu_seconds(service.pid) - before
        after = threads_cpu_seconds(service.pid)
        sent = each * len(senders)
        figures[window] = MessageFigures(
            spent / sent * 1e6,
            (after["loop"] - threads["loop"]) / sent * 1e6,
            (after["others"] - threads["others"]) / sent * 1e6,
            sent / took,
        )
    for sender in senders:
        sender.leaves()
    return figures


async def _connected(service: Measured) -> list[_Sender]:
    api = await asyncio.to_thread(client, service.data, None, None, Realm.HUB)
    trust = client_context(service.trust_root)
    loop = asyncio.get_running_loop()
    senders = []
    prefix = f"sender-{secrets.token_hex(4)}"
    for number in range(DEVICES):
        device_id, key = f"{prefix}-{number}", secrets.token_bytes(32)
        text = b64encode(key).decode()
        keys = {"primaryKey": text, "secondaryKey": text}
        body = {"deviceId": device_id, "authentication": {"type": "sas", "symmetricKey": keys}}
        await asyncio.to_thread(api.call, "PUT", f"/devices/{device_id}", body)
        _, sender = await loop.create_connection(
            lambda device_id=device_id, key=key: _Sender(service.host, device_id, key),
            service.host, service.mqtt_port, ssl=trust, server_hostname=service.host,
        )  # fmt: skip
        await sender.connected
        senders.append(sender)
    return senders
