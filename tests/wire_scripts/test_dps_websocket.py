"""DPS over MQTT over WebSocket as each SDK opens it: which path, which subprotocol, which headers; then the MQTT inside.

An SDK's path and token are taken from its source (named at each row).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from websockets.frames import Frame, Opcode

from accredit.domain.registration import Answer as Outcome
from accredit.fronts.mqtt import MqttConnection
from accredit.fronts.mqtt_dps import DpsConversations
from accredit.wire import mqtt, sas, topics
from accredit.wire.mqtt import ConnAck, Connect, Packet, PubAck, Publish, SubAck, Subscribe
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.http_transcript import HTTPScene
from support.scripted_provisioning import ID_SCOPE, ScriptedProvisioning, assigned

TOKEN = sas.make(f"{ID_SCOPE}/registrations/dev-1", b"k" * 32, 1_900_000_000, None).encode()
CONNECT = Connect("dev-1", f"{ID_SCOPE}/registrations/dev-1/api-version=2019-03-31&ClientVersion=x", TOKEN)


@dataclass(frozen=True)
class Opening:
    """How an SDK asks for the upgrade."""

    path: str
    subprotocol: str
    fields: tuple[str, ...] = ()

    def request(self) -> bytes:
        lines = [
            f"GET {self.path} HTTP/1.1",
            "Host: dps.example",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {self.subprotocol}",
            *self.fields,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


OPENINGS = {
    # azure-iot-device 2.14, common/mqtt_transport.py, and paho: `Origin` is sent, the port stands in Host.
    "python": Opening("/$iothub/websocket", "mqtt", ("Origin: https://dps.example:443",)),
    # azure-iot-provisioning-device-mqtt, mqtt_ws.js; `ws` offers compression.
    "node": Opening(
        "/$iothub/websocket",
        "mqtt",
        ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",),
    ),
    # azure-iot-sdk-c, prov_transport_mqtt_ws_client.c: in upper case, and it wants the same back.
    "c": Opening("/$iothub/websocket", "MQTT"),
    # azure-iot-sdk-csharp, ProvisioningTransportHandlerMqtt.cs ProvisionOverWssCommonAsync: no path.
    "csharp": Opening("/", "mqtt"),
    # azure-iot-sdk-java, MqttConnection.java WS_SSL_URL_FORMAT: no path, by Paho.
    "java": Opening("/", "mqtt", ("Pragma: no-cache", "Cache-Control: no-cache")),
}


class Scene:
    """One device before one service; what it says is put into masked binary frames."""

    def __init__(self, *script: Outcome | Exception) -> None:
        self.provisioning = ScriptedProvisioning(*script)
        dps = DpsConversations(self.provisioning, HandClock(), CountedEntropy())
        front: Callable[[], asyncio.BaseProtocol] = lambda: MqttConnection(dps, dps)  # noqa: E731
        self.http = HTTPScene(websockets={"mqtt": front})
        self._decoder = mqtt.Decoder(max_packet_bytes=1 << 20)
        self._heard: list[Packet] = []

    def says(self, *packets: Packet) -> None:
        data = b"".join(map(mqtt.encode, packets))
        self.http.hears(Frame(Opcode.BINARY, data).serialize(mask=True))

    async def hears(self) -> Packet:
        for _ in range(50):
            self._unframe()
            if self._heard:
                return self._heard.pop(0)
            await asyncio.sleep(0)
        raise AssertionError("the service is silent")

    def _unframe(self) -> None:
        """Frames of the server: not masked, and short enough here for a length of one or three bytes."""
        written = self.http.transport.written
        while written:
            assert written[0] == 0x82, "one binary frame"
            size, at = (written[1], 2) if written[1] < 126 else (int.from_bytes(written[2:4], "big"), 4)
            self._heard += self._decoder.feed(bytes(written[at : at + size]))
            del written[: at + size]


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS.keys())
async def test_a_device_registers_at_the_path_and_by_the_name_its_sdk_has(opening: Opening) -> None:
    """Checklist 3: `/$iothub/websocket`, or `/` (ProvisioningTransportHandlerMqtt.cs, MqttConnection.java); `mqtt`, or
    `MQTT` (prov_transport_mqtt_ws_client.c), which is echoed as it was offered.
    """
    scene = Scene(assigned())
    upgraded = await scene.http.says(opening.request())
    assert upgraded.status == 101
    assert upgraded.headers["sec-websocket-protocol"] == opening.subprotocol
    assert "sec-websocket-extensions" not in upgraded.headers
    scene.says(CONNECT)
    assert await scene.hears() == ConnAck(session_present=False, code=0)
    scene.says(Subscribe(1, ((topics.DPS_RESPONSES, 1),)))
    assert await scene.hears() == SubAck(1, (1,))
    scene.says(Publish(topics.format_dps_request(topics.Register("1")), b"", 1, 2))
    assert await scene.hears() == PubAck(2)
    answer = await scene.hears()
    assert isinstance(answer, Publish)
    assert topics.parse_dps_response(answer.topic) == topics.Response(200, "1")
    scene.http.close()


async def test_packets_that_share_frames_and_frames_that_share_packets() -> None:
    """Paho and `ws` put a packet into a frame, others put what they have (MQTT 3.1.1, 6.0)."""
    scene = Scene(assigned())
    await scene.http.says(OPENINGS["csharp"].request())
    together = b"".join(map(mqtt.encode, (CONNECT, Subscribe(1, ((topics.DPS_RESPONSES, 1),)))))
    for at in range(0, len(together), 7):
        scene.http.hears(Frame(Opcode.BINARY, together[at : at + 7]).serialize(mask=True))
    assert await scene.hears() == ConnAck(session_present=False, code=0)
    assert await scene.hears() == SubAck(1, (1,))
    scene.http.close()
