"""A device that speaks MQTT by itself over the standard library's TLS, blocking: for what no SDK would say.

`wire/mqtt.py`, `wire/topics.py` and `wire/dps.py` are used from their device's side.
"""

from __future__ import annotations

import hmac
import ssl
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import msgspec

from accredit.wire import mqtt, topics
from support import channels
from support.channels import PATIENCE_S, Open
from support.running_service import RunningService

API_VERSION = "2021-11-01-preview"


def sas_token(resource: str, key: str, ttl_s: int = 3600) -> str:
    """A SharedAccessSignature, by hand."""
    resource = quote(resource, safe="")
    expires_at = int(time.time()) + ttl_s
    digest = hmac.digest(b64decode(key), f"{resource}\n{expires_at}".encode(), "sha256")
    return f"SharedAccessSignature sr={resource}&sig={quote(b64encode(digest), safe='')}&se={expires_at}"


class MqttDevice:
    """One connection, from TLS on."""

    def __init__(
        self,
        service: RunningService,
        certificate: tuple[Path, Path] | None = None,
        patience_s: float = PATIENCE_S,
        over: Open = channels.mqtt,
    ) -> None:
        self.service = service
        self._socket = over(service, certificate, patience_s)
        self._decoder = mqtt.Decoder(max_packet_bytes=1 << 20)
        self._heard: list[mqtt.Packet] = []
        self._packet_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, *packets: mqtt.Packet) -> None:
        self.say_bytes(b"".join(mqtt.encode(packet) for packet in packets))

    def say_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def hears(self) -> mqtt.Packet | None:
        """The next packet; None when the service closed instead."""
        while not self._heard:
            try:
                data = self._socket.recv(65_536)
            except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                return None
            if not data:
                return None
            self._heard += self._decoder.feed(data)
        return self._heard.pop(0)

    def is_closed(self) -> bool:
        """Whether the service closes, saying nothing more."""
        return self.hears() is None

    def next_packet_id(self) -> int:
        self._packet_id += 1
        return self._packet_id

    def connects(self, connect: mqtt.Connect) -> int:
        """The code of the CONNACK."""
        self.say(connect)
        answer = self.hears()
        assert isinstance(answer, mqtt.ConnAck), answer
        return answer.code


@dataclass(frozen=True)
class Answer:
    """What came on `$dps/registrations/res/...`."""

    status: int
    document: dict[str, Any]
    retry_after_s: int | None

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.document["registrationState"]
        return state

    @property
    def error_code(self) -> int:
        return int(self.document["errorCode"])


class DpsDevice(MqttDevice):
    """Connected to the provisioning service and subscribed to its answers."""

    def __init__(
        self,
        service: RunningService,
        registration_id: str,
        *,
        key: str | None = None,
        token: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        api_version: str | None = API_VERSION,
        user_name: str | None = None,
        over: Open = channels.mqtt,
    ) -> None:
        """Proves itself by a token of this key, by this token, or by the certificate alone."""
        super().__init__(service, certificate, over=over)
        self.registration_id = registration_id
        name = topics.DpsUserName(service.id_scope, registration_id, api_version, "raw%2F1")
        resource = f"{service.id_scope}/registrations/{registration_id}"
        if key is not None:
            token = sas_token(resource, key)
        password = None if token is None else token.encode()
        user_name = user_name or topics.format_dps_user_name(name)
        code = self.connects(mqtt.Connect(registration_id, user_name, password, clean_session=True))
        assert code == 0, code
        self.say(mqtt.Subscribe(self.next_packet_id(), ((topics.DPS_RESPONSES, 1),)))
        granted = self.hears()
        assert isinstance(granted, mqtt.SubAck), granted
        assert granted.codes == (1,)

    def registers(self, **members: Any) -> Answer:
        """Send a register call with these members in its body, beside the registration id."""
        body = msgspec.json.encode({"registrationId": self.registration_id, **members})
        return self.asks(topics.Register("7"), body)

    def polls(self, operation_id: str) -> Answer:
        return self.asks(topics.StatusQuery("7", operation_id), b" ")

    def outcome(self, answer: Answer) -> Answer:
        """This answer, or what polls bring where the operation goes on: on a busy machine a quick CA is slow too."""
        while answer.document.get("status") == "assigning":
            time.sleep(0.05)
            answer = self.polls(str(answer.document["operationId"]))
        return answer

    def asks(self, request: topics.Register | topics.StatusQuery, body: bytes) -> Answer:
        packet_id = self.next_packet_id()
        self.say(mqtt.Publish(topics.format_dps_request(request), body, 1, packet_id))
        # Azure: the C# SDK takes the answer only after the PUBACK.
        assert self.hears() == mqtt.PubAck(packet_id)
        answer = self.hears()
        assert isinstance(answer, mqtt.Publish), answer
        assert answer.packet_id is not None
        self.say(mqtt.PubAck(answer.packet_id))
        response = topics.parse_dps_response(answer.topic)
        assert response.rid == request.rid
        return Answer(response.status, msgspec.json.decode(answer.payload), response.retry_after_s)


class HubDevice(MqttDevice):
    """Connects to the hub with the certificate it shows, or with a token: of this key, or this one."""

    def __init__(
        self,
        service: RunningService,
        device_id: str,
        *,
        key: str | None = None,
        token: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        over: Open = channels.mqtt,
        hub: str | None = None,
    ) -> None:
        """`hub` names another embedded hub than the service's first."""
        super().__init__(service, certificate, over=over)
        self.device_id = device_id
        name = topics.HubUserName(hub or service.host, device_id, parameters={"api-version": "2021-04-12"})
        if key is not None:
            token = sas_token(f"{hub or service.host}/devices/{device_id}", key)
        password = None if token is None else token.encode()
        self.code = self.connects(
            mqtt.Connect(
                device_id, topics.format_hub_user_name(name), password, clean_session=False, keep_alive_s=60
            )
        )

    def sends(self, body: bytes = b"21") -> None:
        """One message, stored when this returns."""
        packet_id = self.next_packet_id()
        topic = topics.format_telemetry(topics.TelemetryTopic(self.device_id))
        self.say(mqtt.Publish(topic, body, 1, packet_id))
        assert self.hears() == mqtt.PubAck(packet_id)
