"""A device at the far end of an MQTT connection without a socket: it says packets and waits for packets."""

from __future__ import annotations

import asyncio
from typing import Any

from accredit.fronts.mqtt import MqttConnection, Opens
from accredit.wire import mqtt, topics
from support.mqtt_transcript import RecordingTransport

PATIENCE_S = 60


class _Transport(RecordingTransport):
    def __init__(self, source: str, peer_chain: tuple[bytes, ...]) -> None:
        super().__init__(source, peer_chain)
        self.stirred = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self.stirred.set()

    def close(self) -> None:
        super().close()
        self.stirred.set()


class NoDPS:
    """Stands where the provisioning conversation would be opened."""

    async def open(self, connect: mqtt.Connect, link: Any) -> int:
        raise AssertionError("a hub's user name was taken for one of the provisioning service")


class HubDevice:
    """Connects to a hub's conversations over the real connection of `fronts/mqtt.py`."""

    def __init__(
        self,
        hub: Opens,
        device_id: str = "lamp-1",
        peer_chain: tuple[bytes, ...] = (),
        host: str = "hub.example",
    ) -> None:
        self.device_id = device_id
        self.host = host
        self.transport = _Transport("192.0.2.7", peer_chain)
        self.connection = MqttConnection(NoDPS(), hub)
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)
        self._decoder = mqtt.Decoder(max_packet_bytes=1 << 20)
        self._heard: list[mqtt.Packet] = []

    def say(self, *packets: mqtt.Packet) -> None:
        self.connection.data_received(b"".join(mqtt.encode(packet) for packet in packets))

    async def hears(self) -> mqtt.Packet | None:
        """The next packet; None when the connection is closed instead."""
        while True:
            if self._heard:
                return self._heard.pop(0)
            self.transport.stirred.clear()
            data = bytes(self.transport.written)
            self.transport.written.clear()
            self._heard += self._decoder.feed(data)
            if self._heard:
                continue
            if self.transport.closing:
                return None
            await asyncio.wait_for(self.transport.stirred.wait(), PATIENCE_S)

    async def connects(
        self,
        token: str | None = None,
        *,
        will: mqtt.Will | None = None,
        user_name: str | None = None,
        client_id: str | None = None,
        password: bytes | None = None,
    ) -> int:
        """Send CONNECT; returns the code of the CONNACK."""
        name = topics.HubUserName(self.host, self.device_id, parameters={"api-version": "2021-04-12"})
        self.say(
            mqtt.Connect(
                self.device_id if client_id is None else client_id,
                topics.format_hub_user_name(name) if user_name is None else user_name,
                token.encode() if token is not None else password,
                clean_session=False,
                keep_alive_s=60,
                will=will,
            )
        )
        answer = await self.hears()
        assert isinstance(answer, mqtt.ConnAck), answer
        assert not answer.session_present
        return answer.code

    def sends(
        self,
        body: bytes = b"21",
        packet_id: int | None = 1,
        *,
        topic: str | None = None,
        retain: bool = False,
        **properties: str,
    ) -> None:
        own = topics.TelemetryTopic(self.device_id, None, dict(properties))
        name = topics.format_telemetry(own) if topic is None else topic
        self.say(mqtt.Publish(name, body, 0 if packet_id is None else 1, packet_id, retain))

    async def leaves(self) -> None:
        self.say(mqtt.Disconnect())
        assert await self.hears() is None
        await self.gone()

    async def is_lost(self) -> None:
        """The network takes the connection away."""
        self.transport.abort()
        await self.gone()

    async def gone(self) -> None:
        """Return when the connection has been told its end."""
        while self.transport.protocol is not None:
            await asyncio.sleep(0)
