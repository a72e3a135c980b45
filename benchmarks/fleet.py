"""Devices that provision over TLS 1.2 and MQTT as the SDKs do, packet by packet, many at a time."""

from __future__ import annotations

import asyncio
import hmac
import ssl
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from accredit.wire import dps, mqtt, sas, topics
from accredit.wire.mqtt_packets import encode

SUBSCRIPTION = "$dps/registrations/res/#"

Exchanges = Sequence[tuple[int, int]]
"""Bytes that are asked, and then answered."""

EXCHANGES: Exchanges = ((272, 4), (31, 5), (492, 2_687))
"""Bytes asked and answered in such a provisioning: CONNECT, SUBSCRIBE, and PUBLISH with a CSR for a certificate and its issuer's."""


@dataclass(slots=True)
class Device:
    """One device of a symmetric-key group, with its CSR."""

    registration_id: str
    key: bytes
    csr: str

    @classmethod
    def make(cls, registration_id: str, group_key: bytes) -> Device:
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, registration_id)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(private, hashes.SHA256())
        derived = hmac.digest(group_key, registration_id.encode(), sha256)
        return cls(registration_id, derived, csr.public_bytes(serialization.Encoding.PEM).decode())


@dataclass(slots=True)
class Tally:
    """What came of a run: seconds of each registration, from TCP connect to the answer."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class _Conversation(asyncio.Protocol):
    """CONNECT, SUBSCRIBE, PUBLISH, each after the answer to the one before; then PUBACK and DISCONNECT."""

    def __init__(self, device: Device, id_scope: str, done: asyncio.Future[str]) -> None:
        self._device = device
        self._id_scope = id_scope
        self._done = done
        self._decoder = mqtt.Decoder(max_packet_bytes=256 * 1024)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transport is a Transport in all but its class.
        self._transport = cast(asyncio.Transport, transport)
        device = self._device
        resource = f"{self._id_scope}/registrations/{device.registration_id}"
        token = sas.make(resource, device.key, int(time.time()) + 3_600, None)
        name = topics.format_dps_user_name(
            topics.DpsUserName(self._id_scope, device.registration_id, "2021-11-01-preview", "bench")
        )
        self._send(
            mqtt.Connect(device.registration_id, name, token.encode(), clean_session=False, keep_alive_s=60)
        )

    def _send(self, packet: mqtt.Packet) -> None:
        self._transport.write(encode(packet))

    def data_received(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            match packet:
                case mqtt.ConnAck(code=0):
                    self._send(mqtt.Subscribe(1, ((SUBSCRIPTION, 1),)))
                case mqtt.SubAck():
                    body = dps.register_body(
                        self._device.registration_id, dps.CLIENT_CERTIFICATE_CSR, self._device.csr
                    )
                    topic = topics.format_dps_request(topics.Register("1"))
                    self._send(mqtt.Publish(topic, body, qos=1, packet_id=2))
                case mqtt.Publish():
                    if packet.packet_id is not None:
                        self._send(mqtt.PubAck(packet.packet_id))
                    self._send(mqtt.Disconnect())
                    answer = dps.parse_answer(packet.payload)
                    state = answer.registration_state or {}
                    good = answer.status == "assigned" and "issuedClientCertificate" in state
                    self._finish("" if good else packet.payload.decode()[:300])
                    self._transport.close()
                case mqtt.ConnAck():
                    self._finish(f"CONNACK {packet.code}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(f"connection lost: {exc}")

    def _finish(self, failure: str) -> None:
        if not self._done.done():
            self._done.set_result(failure)


async def provision(
    devices: list[Device],
    host: str,
    port: int,
    id_scope: str,
    trust: ssl.SSLContext,
    at_once: int,
    per_second: float | None = None,
) -> Tally:
    """Register every device, `at_once` at a time; with `per_second`, each when its turn comes, or later if all are busy.

    A latency then counts from the turn.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    waiting = iter(enumerate(devices))
    start = time.perf_counter()

    async def worker() -> None:
        for number, device in waiting:
            began = time.perf_counter()
            if per_second is not None:
                began = start + number / per_second
                await asyncio.sleep(began - time.perf_counter())
            done: asyncio.Future[str] = loop.create_future()
            transport, _ = await loop.create_connection(
                lambda device=device, done=done: _Conversation(device, id_scope, done),
                host, port, ssl=trust, server_hostname=host,
            )  # fmt: skip
            failure = await done
            tally.latencies.append(time.perf_counter() - began)
            if failure:
                tally.failures.append(failure)
            transport.close()

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return tally


class _Exchanging(asyncio.Protocol):
    """As many bytes to and fro as it is told, with nothing in them."""

    def __init__(self, exchanges: Exchanges, done: asyncio.Future[None]) -> None:
        self._done = done
        self._left = iter(exchanges)
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        asked, self._wanted = next(self._left, (0, 0))
        if asked:
            self._transport.write(bytes(asked))
        elif not self._done.done():
            self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._wanted -= len(data)
        if not self._wanted:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or RuntimeError("the server closed the connection"))


async def shake_hands(
    count: int,
    host: str,
    port: int,
    contexts: Sequence[ssl.SSLContext],
    at_once: int,
    exchanges: Exchanges = (),
) -> None:
    """Make `count` TLS connections with these contexts in turn, with these exchanges over each, and close it."""
    loop = asyncio.get_running_loop()
    left = iter(range(count))

    async def worker() -> None:
        for number in left:
            done: asyncio.Future[None] = loop.create_future()
            transport, _ = await loop.create_connection(
                lambda done=done: _Exchanging(exchanges, done),
                host, port, ssl=contexts[number % len(contexts)], server_hostname=host,
            )  # fmt: skip
            await done
            transport.close()

    await asyncio.gather(*(worker() for _ in range(at_once)))


def client_context(trust_root: str) -> ssl.SSLContext:
    """TLS 1.2, as the Python device SDK insists on."""
    context = ssl.create_default_context(cafile=trust_root)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def group_key_text(key: bytes) -> str:
    return b64encode(key).decode()
