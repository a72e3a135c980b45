"""What strangers send where MQTT is spoken, on 8883 and inside WebSocket: each is closed or answered as its protocol says, and a good device beside it notices nothing.

Nothing of it may leave a traceback in the log: the `service` fixture looks for one at the end.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest

from accredit.wire import mqtt, topics
from support.channels import MQTT_CHANNELS, Open, tls_socket
from support.enrolling import symmetric_individual
from support.raw_device import DpsDevice, HubDevice, MqttDevice
from support.running_service import RunningService

pytestmark = pytest.mark.usefixtures("healthy")

CONNECT = mqtt.Connect("x", "0ne/registrations/x/api-version=2019-03-31", b"x")
KIB = 1024


@pytest.fixture(params=MQTT_CHANNELS.values(), ids=MQTT_CHANNELS.keys())
def over(request: pytest.FixtureRequest) -> Open:
    """Each way to reach the front that speaks MQTT."""
    return request.param


@pytest.fixture(scope="module", autouse=True)
def unfinished(service: RunningService) -> Iterator[tuple[MqttDevice, ssl.SSLSocket]]:
    """A CONNECT and a request that are never said to the end. They begin before the tests, not to be waited for."""
    with (
        MqttDevice(service, patience_s=90) as device,
        tls_socket(service, service.https_port, patience_s=90) as connection,
    ):
        device.say_bytes(mqtt.encode(CONNECT)[:-1])
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        yield device, connection


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
    def test_the_connection_ends(self, service: RunningService, over: Open, data: bytes) -> None:
        with MqttDevice(service, over=over) as device:
            device.say_bytes(data)
            assert device.is_closed()

    @pytest.mark.parametrize(("level", "code"), [(3, 1), (5, 1)])
    def test_another_level_is_answered_and_closed(
        self, service: RunningService, over: Open, level: int, code: int
    ) -> None:
        with MqttDevice(service, over=over) as device:
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
        self, service: RunningService, over: Open, connect: mqtt.Connect, code: int
    ) -> None:
        with MqttDevice(service, over=over) as device:
            assert device.connects(connect) == code
            assert device.is_closed()

    def test_bytes_that_are_no_tls(self, service: RunningService) -> None:
        for port in (service.mqtt_port, service.https_port):
            with socket.create_connection((service.host, port), timeout=40) as plain:
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
def connected(service: RunningService, name: str, over: Open) -> Iterator[DpsDevice]:
    with DpsDevice(service, name, key=symmetric_individual(service, name), over=over) as device:
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
    def device(self, service: RunningService, name: str, over: Open) -> Iterator[HubDevice]:
        secret = symmetric_individual(service, name)
        with DpsDevice(service, name, key=secret) as device:
            device.registers()
        with HubDevice(service, name, key=secret, over=over) as hub:
            assert hub.code == 0
            yield hub

    @pytest.mark.parametrize(
        "topic",
        [
            "devices/another/messages/events/",
            "devices/{}/modules/m/messages/events/",
            "devices/{}/messages/events/a=%ff",
            "$iothub/twin/GET/?x=1",
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


@pytest.mark.slow
class TestSilence:
    """Connections that are opened and left alone, or fed a byte at a time, keep nobody from working."""

    def test_many_silent_connections(self, service: RunningService, name: str) -> None:
        secret = symmetric_individual(service, name)
        with contextlib.ExitStack() as held:
            for number in range(150):
                port = service.mqtt_port if number % 2 else service.https_port
                silent = held.enter_context(socket.create_connection((service.host, port), timeout=40))
                if number % 3 == 0:
                    silent.sendall(b"\x16\x03\x01")
            with DpsDevice(service, name, key=secret) as device:
                assert device.registers().status == 200
            with service.https() as http:
                assert http.get("/readyz").status_code == 200

    def test_what_is_never_finished_is_not_waited_for_long(
        self, unfinished: tuple[MqttDevice, ssl.SSLSocket]
    ) -> None:
        """Twenty seconds for a CONNECT, fifteen for the head of a request."""
        device, connection = unfinished
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert device.is_closed()
