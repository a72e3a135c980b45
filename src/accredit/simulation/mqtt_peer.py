"""The device's end of one MQTT connection under asyncio, TLS 1.2 as the SDKs insist: for loads of many devices at once.

`wire/mqtt.py`, `wire/topics.py` and `wire/dps.py` are used from their device's side. Every wait has a deadline.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from accredit.wire import dps, mqtt, sas, topics

PATIENCE_S = 30.0
API_VERSION = "2021-11-01-preview"
HUB_API_VERSION = "2021-04-12"
MAX_PACKET_BYTES = 1 << 20
TOKEN_LIFE_S = 3_600

PacketT = TypeVar("PacketT", bound=mqtt.Packet)


class Lost(Exception):
    """The connection ended, or could not be made: a device tries again."""


class Unanswered(Exception):
    """The service holds the connection but says nothing."""


class Astray(Exception):
    """The service said what it should not have said here."""


@dataclass(frozen=True)
class Service:
    """Where the service is, as a device knows it; `trust_root` None is what the system trusts."""

    host: str
    port: int
    id_scope: str
    trust_root: Path | None

    def context(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """With the device's certificate chain and key where it shows one."""
        context = ssl.create_default_context(cafile=self.trust_root and str(self.trust_root))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


@dataclass(frozen=True)
class Told:
    """One answer of the provisioning service; `retry_after_s` where there was one."""

    status: int
    document: dps.ParsedAnswer
    retry_after_s: int | None


class MqttPeer:
    """One connection. `stepped` is called for each packet said or heard."""

    def __init__(self, service: Service, stepped: Callable[[], None] = lambda: None) -> None:
        self._service = service
        self._stepped = stepped
        self._decoder = mqtt.Decoder(max_packet_bytes=MAX_PACKET_BYTES)
        self._heard: list[mqtt.Packet] = []
        self._packet_id = 0

    async def open(self, certificate: tuple[Path, Path] | None = None) -> Self:
        """Raises Lost and Unanswered."""
        service = self._service
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._reader, self._writer = await asyncio.open_connection(
                    service.host, service.port, ssl=service.context(certificate), server_hostname=service.host
                )
        except TimeoutError:
            raise Unanswered("the TLS handshake does not end") from None
        except OSError as error:
            raise Lost(f"connect: {error!r}") from error
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # No farewell: a device that loses power says none, and the transport must not outlive its user.
        self._writer.transport.abort()

    def say(self, *packets: mqtt.Packet) -> None:
        for packet in packets:
            self._writer.write(mqtt.encode(packet))
            self._stepped()

    async def hear(self, kind: type[PacketT]) -> PacketT:
        """The next packet, which must be of this kind. Raises Lost, Unanswered and Astray."""
        while not self._heard:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    data = await self._reader.read(65_536)
            except TimeoutError:
                raise Unanswered(f"no {kind.__name__} within {PATIENCE_S:g} s") from None
            except OSError as error:
                raise Lost(f"{kind.__name__} awaited: {error!r}") from error
            if not data:
                raise Lost(f"{kind.__name__} awaited: closed")
            self._heard += self._decoder.feed(data)
        packet = self._heard.pop(0)
        self._stepped()
        if not isinstance(packet, kind):
            raise Astray(f"{packet} came where {kind.__name__} was awaited")
        return packet

    def next_packet_id(self) -> int:
        self._packet_id = self._packet_id % 0xFFFF + 1
        return self._packet_id

    async def connects(self, connect: mqtt.Connect) -> int:
        """The code of the CONNACK."""
        self.say(connect)
        return (await self.hear(mqtt.ConnAck)).code

    async def subscribes(self, topic_filter: str) -> None:
        self.say(mqtt.Subscribe(self.next_packet_id(), ((topic_filter, 1),)))
        granted = await self.hear(mqtt.SubAck)
        if granted.codes != (1,):
            raise Astray(f"{topic_filter} was not granted: {granted}")

    async def answered(self) -> mqtt.Publish:
        """The next message to the device, acknowledged."""
        message = await self.hear(mqtt.Publish)
        if message.packet_id is not None:
            self.say(mqtt.PubAck(message.packet_id))
        return message

    async def acknowledged(self, packet_id: int) -> None:
        heard = await self.hear(mqtt.PubAck)
        if heard.packet_id != packet_id:
            raise Astray(f"packet {heard.packet_id} was acknowledged instead of {packet_id}")

    # To the provisioning service.

    async def joins_dps(self, registration_id: str, key: str, life_s: int = TOKEN_LIFE_S) -> None:
        """Connect with a token of this key (base64), and subscribe to the answers. The token ends in `life_s`."""
        scope = self._service.id_scope
        name = topics.DpsUserName(scope, registration_id, API_VERSION, "load")
        resource = f"{scope}/registrations/{registration_id}"
        token = sas.make(resource, b64decode(key), int(time.time()) + life_s, "registration")
        user_name = topics.format_dps_user_name(name)
        code = await self.connects(mqtt.Connect(registration_id, user_name, token.encode()))
        if code != 0:
            raise Astray(f"{registration_id}: CONNACK {code} of the provisioning service")
        await self.subscribes(topics.DPS_RESPONSES)

    def ask(self, request: topics.Register | topics.StatusQuery, body: bytes) -> int:
        """Without waiting for the answer; the packet id of the question."""
        packet_id = self.next_packet_id()
        self.say(mqtt.Publish(topics.format_dps_request(request), body, 1, packet_id))
        return packet_id

    async def asks(self, request: topics.Register | topics.StatusQuery, body: bytes) -> Told:
        await self.acknowledged(self.ask(request, body))
        answer = await self.answered()
        response = topics.parse_dps_response(answer.topic)
        if response.rid != request.rid:
            raise Astray(f"the answer is for request {response.rid} instead of {request.rid}")
        return Told(response.status, dps.parse_answer(answer.payload), response.retry_after_s)

    # To the hub.

    async def joins_hub(self, device_id: str) -> int:
        """Connect with nothing but the certificate that was shown; the code of the CONNACK."""
        name = topics.HubUserName(self._service.host, device_id, parameters={"api-version": HUB_API_VERSION})
        connect = mqtt.Connect(
            device_id, topics.format_hub_user_name(name), clean_session=False, keep_alive_s=60
        )
        return await self.connects(connect)

    def sends(self, device_id: str, body: bytes) -> int:
        """Say one device-to-cloud message; the packet id that its PUBACK will have."""
        packet_id = self.next_packet_id()
        topic = topics.format_telemetry(topics.TelemetryTopic(device_id))
        self.say(mqtt.Publish(topic, body, 1, packet_id))
        return packet_id
