"""What one connection to the hub by client certificate costs the server, beside the bare mutual handshake of OpenSSL.

Each connection is TLS 1.2 with the certificate that was issued, MQTT CONNECT to CONNACK, and the end; nothing is sent.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.simulation.keys import KeyPair, derived
from accredit.simulation.mqtt_peer import HUB_API_VERSION, MqttPeer, Service
from accredit.wire import dps, mqtt, topics
from accredit.wire.mqtt_packets import encode
from benchmarks.cpu import cpu_seconds
from benchmarks.fleet import client_context
from benchmarks.floors import openssl_mutual_us
from benchmarks.service import Measured

DEVICES = 32


@dataclass(frozen=True, slots=True)
class ConnectFigures:
    """CPU in microseconds of the server process for each connection."""

    cpu_us: float
    openssl_us: float


class _Visit(asyncio.Protocol):
    """CONNECT, its answer, and the end."""

    def __init__(self, host: str, device_id: str, done: asyncio.Future[int]) -> None:
        name = topics.HubUserName(host, device_id, parameters={"api-version": HUB_API_VERSION})
        self._connect = mqtt.Connect(
            device_id, topics.format_hub_user_name(name), clean_session=False, keep_alive_s=60
        )
        self._done = done
        self._decoder = mqtt.Decoder(max_packet_bytes=1_024)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(encode(self._connect))

    def data_received(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            if isinstance(packet, mqtt.ConnAck) and not self._done.done():
                self._done.set_result(packet.code)
                self._transport.write(encode(mqtt.Disconnect()))
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or RuntimeError("the hub closed the connection"))


def hub_connects(service: Measured, count: int, at_once: int) -> ConnectFigures:
    """`count` connections of 32 devices; `at_once` at a time, each device's one after the other."""
    with tempfile.TemporaryDirectory() as name, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        folder = Path(name)
        group = f"visits-{secrets.token_hex(4)}"
        devices, issuers = runner.run(provisioned(service, folder, DEVICES, group))
        (folder / "issuers.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in issuers))
        contexts = [context for _, context in devices]
        runner.run(_visits(service, devices, DEVICES, at_once))
        before = cpu_seconds(service.pid)
        runner.run(_visits(service, devices, count, at_once))
        ours = (cpu_seconds(service.pid) - before) / count * 1e6
        floor = openssl_mutual_us(count, at_once, contexts, folder / "issuers.pem")
        return ConnectFigures(ours, floor)


async def _visits(
    service: Measured, devices: Sequence[tuple[str, ssl.SSLContext]], count: int, at_once: int
) -> None:
    loop = asyncio.get_running_loop()
    left = iter(range(count))

    async def worker(which: int) -> None:
        device_id, context = devices[which]
        for _ in left:
            done: asyncio.Future[int] = loop.create_future()
            await loop.create_connection(
                partial(_Visit, service.host, device_id, done),
                service.host, service.mqtt_port, ssl=context, server_hostname=service.host,
            )  # fmt: skip
            if await done:
                raise RuntimeError(f"CONNACK {done.result()} of the hub")

    await asyncio.gather(*(worker(number) for number in range(min(at_once, len(devices)))))


async def provisioned(
    service: Measured, folder: Path, count: int, group: str
) -> tuple[list[tuple[str, ssl.SSLContext]], Sequence[x509.Certificate]]:
    """Devices of a new group with their certificates, and the issuers of these."""
    key = secrets.token_bytes(32)
    keys = {
        "primaryKey": b64encode(key).decode(),
        "secondaryKey": b64encode(secrets.token_bytes(32)).decode(),
    }
    body = {
        "enrollmentGroupId": group,
        "attestation": {"type": "symmetricKey", "symmetricKey": keys},
        "clientCertificateIssuancePolicy": {"certificateAuthorityName": "builtin"},
    }
    api = await asyncio.to_thread(service.api)
    await asyncio.to_thread(api.call, "PUT", f"/enrollmentGroups/{group}", body)
    where = Service(service.host, service.mqtt_port, service.id_scope, Path(service.trust_root))
    devices, issuers = [], []
    for number in range(count):
        registration_id = f"{group}-{number}"
        pair = KeyPair(registration_id, folder, str(number))
        async with await MqttPeer(where).open() as peer:
            await peer.joins_dps(registration_id, derived(key, registration_id))
            document = dps.register_body(registration_id, dps.CLIENT_CERTIFICATE_CSR, pair.csr)
            told = await peer.asks(topics.Register("1"), document)
        state = told.document.registration_state or {}
        chain = x509.load_pem_x509_certificates(state["issuedClientCertificate"].encode())
        pair.keep(chain)
        issuers = [*chain[1:]]
        context = client_context(service.trust_root)
        context.load_cert_chain(*pair.files)
        devices.append((state["deviceId"], context))
    return devices, issuers
