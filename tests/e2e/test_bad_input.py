"""What strangers send to the open ports: each is closed or answered as its protocol says, and a good device beside it notices nothing.

Nothing of it may leave a traceback in the log: the `service` fixture looks for one at the end.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator

import pytest

from accredit.wire import mqtt, topics
from support.enrolling import symmetric_individual
from support.raw_device import DpsDevice, HubDevice, MqttDevice, tls_socket
from support.running_service import RunningService

CONNECT = mqtt.Connect("x", "0ne/registrations/x/api-version=2019-03-31", b"x")
KIB = 1024


@pytest.fixture(autouse=True)
def healthy(service: RunningService, name: str) -> Iterator[None]:
    """A device that is connected all the while, and works before and after."""
    good = f"healthy-{name}"
    secret = symmetric_individual(service, good)
    with DpsDevice(service, good, key=secret) as device:
        assert device.registers().status == 200
    with HubDevice(service, good, key=secret) as hub:
        hub.sends()
        yield
        hub.sends()
    with DpsDevice(service, good, key=secret) as device:
        assert device.registers().status == 200


def field(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


class TestBeforeAConnection:
    """MQTT 3.1.1, 3.1: the first packet must be a CONNECT, whole and of this protocol; otherwise the network connection ends."""

    @pytest.mark.parametrize(
        "data",
        [
            b"\x10\xff\xff\xff\xff\x01",
            b"\x10\xff\xff\xff\x7f",
            b"\x00\x00",
            b"\xf0\x00",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xc0\x00",
            mqtt.encode(mqtt.Publish("a", b"b")),
            mqtt.encode(mqtt.Subscribe(1, (("#", 0),))),
            b"\x10\x02\x00\x04",
            b"\x10\x0c" + field("MQTT") + b"\x04\x03\x00\x00\x00\x00",
            b"\x10\x0c" + field("HTTP") + b"\x04\x02\x00\x00\x00\x00",
            b"\x10\xff\xff\x01" + bytes(20 * KIB),
        ],
        ids=[
            "a length of five bytes", "a packet of 256 MiB", "type 0", "type 15", "another protocol", "PINGREQ",
            "PUBLISH", "SUBSCRIBE", "a CONNECT cut short", "a reserved flag", "another name", "a CONNECT of 32 KiB",
        ],
    )  # fmt: skip
    def test_the_connection_ends(self, service: RunningService, data: bytes) -> None:
        with MqttDevice(service) as device:
            device.say_bytes(data)
            assert device.is_closed()

    @pytest.mark.parametrize(("level", "code"), [(3, 1), (5, 1)])
    def test_another_level_is_answered_and_closed(
        self, service: RunningService, level: int, code: int
    ) -> None:
        with MqttDevice(service) as device:
            assert device.connects(mqtt.Connect("x", "y", level=level)) == code
            assert device.is_closed()

    @pytest.mark.parametrize(
        ("connect", "code"),
        [
            (mqtt.Connect("", "a/b"), 2),
            (mqtt.Connect("x"), 4),
            (mqtt.Connect("x", "nonsense"), 5),
            (mqtt.Connect("x", "0ne00000000/registrations/x/api-version=2019-03-31", b"x"), 5),
            (mqtt.Connect("x", "other.example/x/?api-version=2021-04-12"), 5),
        ],
        ids=["no client id", "no user name", "an odd user name", "another scope", "another hub"],
    )
    def test_a_connect_for_nobody_here_is_answered_and_closed(
        self, service: RunningService, connect: mqtt.Connect, code: int
    ) -> None:
        with MqttDevice(service) as device:
            assert device.connects(connect) == code
            assert device.is_closed()

    def test_bytes_that_are_no_tls(self, service: RunningService) -> None:
        for port in (service.mqtt_port, service.https_port):
            with socket.create_connection((service.host, port), timeout=20) as plain:
                plain.sendall(mqtt.encode(CONNECT))
                answered = b""
                with contextlib.suppress(ConnectionResetError):
                    while data := plain.recv(4096):
                        answered += data
                # At most a TLS alert.
                assert answered[:1] in {b"", b"\x15"}

    def test_an_old_tls(self, service: RunningService) -> None:
        context = ssl.create_default_context(cafile=str(service.trust_root))
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection((service.host, service.mqtt_port)) as plain,
            pytest.raises((ssl.SSLError, ConnectionResetError)),
        ):
            context.wrap_socket(plain, server_hostname=service.host)


@pytest.fixture
def connected(service: RunningService, name: str) -> Iterator[DpsDevice]:
    with DpsDevice(service, name, key=symmetric_individual(service, name)) as device:
        yield device


REGISTER = topics.format_dps_request(topics.Register("1"))


class TestOnAConnection:
    """What a device that was let in may not say: the network connection ends."""

    @pytest.mark.parametrize(
        "data",
        [
            mqtt.encode(CONNECT),
            b"\x34" + bytes([2 + 2 + 1]) + field("a") + b"\x00\x01",
            b"\x36" + bytes([2 + 2 + 1]) + field("a") + b"\x00\x01",
            mqtt.encode(mqtt.ConnAck(session_present=False, code=0)),
            mqtt.encode(mqtt.Publish("$dps/registrations/PUT/nothing/?$rid=1", b"{}")),
            mqtt.encode(mqtt.Publish("devices/x/messages/events/", b"{}")),
            mqtt.encode(mqtt.Publish("$dps/registrations/PUT/iotdps-register/?", b"{}")),
            mqtt.encode(mqtt.Publish(REGISTER, bytes(200 * KIB))),
            b"\x30\xff\xff\xff\xff",
            b"\x80\x05\x00\x01\x00\x01#",
            b"\x82\x02\x00\x01",
        ],
        ids=[
            "a second CONNECT", "QoS 2", "QoS 3", "a CONNACK", "an unknown topic", "a topic of the hub",
            "no request id", "a packet of 200 KiB", "a malformed length", "SUBSCRIBE with wrong flags",
            "SUBSCRIBE to nothing",
        ],
    )  # fmt: skip
    def test_the_connection_ends(self, connected: DpsDevice, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # it may end before all is said
            connected.say_bytes(data)
        assert connected.is_closed()

    @pytest.mark.parametrize("topic", ["#", "$dps/#", "devices/x/messages/devicebound/#"])
    def test_a_subscription_to_anything_else_is_refused(self, connected: DpsDevice, topic: str) -> None:
        connected.say(mqtt.Subscribe(9, ((topic, 1),)))
        assert connected.hears() == mqtt.SubAck(9, (mqtt.FAILURE,))
        assert connected.registers().status == 200

    @pytest.mark.parametrize(
        "body",
        [
            b"[]", b"{", b"\xff", b'{"registrationId": 7}', b'{"registrationId": "another"}',
            b'{"payload": ' + b"[" * 100_000,
        ],
        ids=["an array", "half an object", "not UTF-8", "a number for an id", "another id", "deep nesting"],
    )  # fmt: skip
    def test_a_body_that_is_none_is_answered(self, connected: DpsDevice, body: bytes) -> None:
        answer = connected.asks(topics.Register("1"), body)
        assert (answer.status, answer.error_code // 1000) == (400, 400)
        assert answer.document["trackingId"]
        assert connected.registers().status == 200

    def test_a_ping_is_answered(self, connected: DpsDevice) -> None:
        connected.say(mqtt.PingReq())
        assert connected.hears() == mqtt.PingResp()

    def test_packets_in_single_bytes_are_packets(self, connected: DpsDevice) -> None:
        for byte in mqtt.encode(mqtt.Publish(REGISTER, b"{}", 1, 3)):
            connected.say_bytes(bytes([byte]))
        assert connected.hears() == mqtt.PubAck(3)
        assert isinstance(connected.hears(), mqtt.Publish)


class TestAtTheHub:
    @pytest.fixture
    def device(self, service: RunningService, name: str) -> Iterator[HubDevice]:
        secret = symmetric_individual(service, name)
        with DpsDevice(service, name, key=secret) as device:
            device.registers()
        with HubDevice(service, name, key=secret) as hub:
            assert hub.code == 0
            yield hub

    @pytest.mark.parametrize(
        "topic",
        [
            "devices/another/messages/events/",
            "devices/{}/modules/m/messages/events/",
            "devices/{}/messages/events/a=%ff",
            "$iothub/twin/GET/?$rid=1",
            "$dps/registrations/PUT/iotdps-register/?$rid=1",
            "x",
        ],
    )
    def test_a_topic_that_is_not_its_own_ends_the_connection(self, device: HubDevice, topic: str) -> None:
        device.say(mqtt.Publish(topic.format(device.device_id), b"1", 1, 1))
        assert device.is_closed()
        assert device.service.telemetry(device.device_id) == []

    def test_a_message_that_is_too_large_ends_the_connection(self, device: HubDevice) -> None:
        topic = f"devices/{device.device_id}/messages/events/"
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            device.say(mqtt.Publish(topic, bytes(257 * KIB), 1, 1))
        assert device.is_closed()
        assert device.service.telemetry(device.device_id) == []

    def test_the_largest_message_is_taken(self, device: HubDevice) -> None:
        device.sends(b"x" * 255 * KIB)
        (row,) = device.service.telemetry(device.device_id)
        assert len(row["body"]) == 255 * KIB


def answers(service: RunningService, data: bytes) -> list[int]:
    """The status of each answer on one connection, read to its end."""
    with tls_socket(service, service.https_port) as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # it may be refused before all is sent
            connection.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while chunk := connection.recv(65_536):
                received += chunk
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


class TestHTTP:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (mqtt.encode(CONNECT) + b"\r\n\r\n", 400),
            (b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", 400),
            (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 64 * KIB + b"\r\n\r\n", 431),
            (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
            (b"GET /" + b"y" * 64 * KIB + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
            (b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413),
            (b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
            (b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (b"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
        ],
        ids=[
            "no HTTP", "MQTT", "another version", "a field of 64 KiB", "200 fields", "a path of 64 KiB",
            "a body of 95 MiB", "a negative length", "two lengths", "a chunk that is none",
        ],
    )  # fmt: skip
    def test_is_refused_by_its_status_and_closed(
        self, service: RunningService, data: bytes, status: int
    ) -> None:
        assert answers(service, data) == [status]

    def test_a_chunked_body_without_end_is_cut(self, service: RunningService) -> None:
        head = b"PUT /x/registrations/y/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
        assert answers(service, head + chunk * 40)[0] in {400, 401, 413}

    def test_requests_ahead_are_answered_in_turn(self, service: RunningService) -> None:
        one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /absent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert answers(service, one * 3 + last) == [200, 200, 200, 404]

    @pytest.mark.parametrize("offered", ["", "Sec-WebSocket-Protocol: stomp\r\n"])
    def test_a_websocket_for_no_protocol_of_ours(self, service: RunningService, offered: str) -> None:
        request = (
            "GET /$iothub/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offered}\r\n"
        )
        (status,) = answers(service, request.encode())
        assert 400 <= status < 500

    def test_a_websocket_frame_that_is_none(self, service: RunningService) -> None:
        request = (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        )
        unmasked = b"\x82\x02\xc0\x00"
        assert answers(service, request + unmasked) == [101]


@pytest.mark.slow
class TestSilence:
    """Connections that are opened and left alone, or fed a byte at a time, keep nobody from working."""

    def test_many_silent_connections(self, service: RunningService, name: str) -> None:
        secret = symmetric_individual(service, name)
        with contextlib.ExitStack() as held:
            for number in range(150):
                port = service.mqtt_port if number % 2 else service.https_port
                silent = held.enter_context(socket.create_connection((service.host, port), timeout=20))
                if number % 3 == 0:
                    silent.sendall(b"\x16\x03\x01")
            with DpsDevice(service, name, key=secret) as device:
                assert device.registers().status == 200
            with service.https() as http:
                assert http.get("/readyz").status_code == 200

    def test_what_is_never_finished_is_not_waited_for_long(self, service: RunningService) -> None:
        """Twenty seconds for a CONNECT, fifteen for the head of a request: both at once, to wait but once."""
        with (
            MqttDevice(service, patience_s=40) as device,
            tls_socket(service, service.https_port, patience_s=40) as connection,
        ):
            device.say_bytes(mqtt.encode(CONNECT)[:-1])
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
            assert device.is_closed()
