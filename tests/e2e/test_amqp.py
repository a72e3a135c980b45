"""AMQP over real TLS: Qpid Proton's own client, strangers with raw bytes beside it, and a service without the extra."""

from __future__ import annotations

import json
import socket
import ssl
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accredit.wire import amqp_message as m
from accredit.wire import amqp_sasl as sasl
from accredit.wire import amqp_types as t
from accredit.wire import sas
from accredit.wire.amqp_sasl import AMQP_HEADER, SASL_HEADER
from support.amqp_script import SENDER, attach, begin, open_, transfer
from support.device_key import DeviceKey
from support.enrolling import symmetric_individual
from support.needs_amqp import amqp_engine, without_amqp
from support.running_service import RunningService

API = {"com.microsoft:api-version": "2019-03-31"}
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def needs_amqp() -> None:
    amqp_engine()


def secured(service: RunningService) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(service.data / "trust-root.pem"))
    raw = socket.create_connection((service.host, service.amqp_port), timeout=PATIENCE_S)
    return context.wrap_socket(raw, server_hostname=service.host)


class ProtonDevice:
    """Proton's engine in the client's role, with its own SASL, over a socket of the standard library's TLS."""

    def __init__(self, service: RunningService, user: str, password: str) -> None:
        import proton

        self.proton = proton
        self.socket = secured(service)
        self.transport = proton.Transport()
        self.connection = proton.Connection()
        self.collector = proton.Collector()
        self.connection.collect(self.collector)
        self.connection.hostname = service.host
        self.connection.user, self.connection.password = user, password
        self.connection.open()
        layer = self.transport.sasl()
        layer.allowed_mechs("PLAIN")
        layer.allow_insecure_mechs = True
        self.transport.bind(self.connection)
        self.session = self.connection.session()
        self.session.open()

    def until(self, ready: Any) -> Any:
        """Bytes to and fro until `ready` gives something; each turn waits for the socket."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            while (size := self.transport.pending()) > 0:
                self.socket.sendall(self.transport.peek(size))
                self.transport.pop(size)
            while self.collector.peek() is not None:
                self.collector.pop()
            found = ready()
            if found:
                return found
            data = self.socket.recv(65_536)
            assert data, f"closed: {self.transport.condition}"
            while data:
                room = self.transport.capacity()
                self.transport.push(data[:room])
                data = data[room:]
        raise AssertionError("nothing came")

    def links(self, address: str) -> tuple[Any, Any]:
        receiver, sender = self.session.receiver("answers"), self.session.sender("questions")
        receiver.source.address = sender.target.address = address
        for link in (receiver, sender):
            link.properties = {self.proton.symbol(name): value for name, value in API.items()}
            link.open()
        receiver.flow(10)
        self.until(lambda: sender.credit)
        return receiver, sender

    def asks(self, sender: Any, receiver: Any, encoded: bytes) -> m.Message:
        asked = sender.delivery(f"{id(encoded)}")
        sender.stream(encoded)
        sender.advance()
        outcome = self.until(lambda: asked.remote_state)
        assert outcome == self.proton.Delivery.ACCEPTED, asked.remote.condition
        answer = self.until(lambda: receiver.current and not receiver.current.partial and receiver.current)
        data = bytes(receiver.recv(answer.pending))
        receiver.advance()
        answer.update(self.proton.Delivery.ACCEPTED)
        answer.settle()
        return m.parse(data)


@pytest.fixture
def device(service: RunningService, key: DeviceKey) -> Iterator[tuple[ProtonDevice, str]]:
    name = key.registration_id
    secret = symmetric_individual(service, name)
    address = f"{service.id_scope}/registrations/{name}"
    token = sas.make(address, _decoded(secret), int(time.time()) + 600)
    made = ProtonDevice(service, address, token)
    yield made, address
    made.socket.close()


def _decoded(text: str) -> bytes:
    return b64decode(text)


def test_protons_own_client_provisions(device: tuple[ProtonDevice, str]) -> None:
    client, address = device
    receiver, sender = client.links(address)
    asked = m.encode(
        b"{}",
        properties=m.Properties(correlation_id=t.ulong(7)),
        application={"iotdps-operation-type": t.string("iotdps-register")},
    )
    answer = client.asks(sender, receiver, asked)
    assert answer.properties.correlation_id == t.ulong(7)
    assert json.loads(answer.body)["status"] == "assigned"


def test_a_wrong_key_is_rejected_with_the_error_body(service: RunningService, key: DeviceKey) -> None:
    name = key.registration_id
    symmetric_individual(service, name)
    address = f"{service.id_scope}/registrations/{name}"
    client = ProtonDevice(service, address, sas.make(address, b"wrong", int(time.time()) + 600))
    _, sender = client.links(address)
    asked = sender.delivery("1")
    sender.stream(m.encode(b"{}", application={"iotdps-operation-type": t.string("iotdps-register")}))
    sender.advance()
    client.until(lambda: asked.remote_state)
    condition = asked.remote.condition
    assert condition.name == "amqp:unauthorized-access"
    assert json.loads(condition.description)["errorCode"] == 401002
    client.socket.close()


ADDRESS = attach(0, SENDER, "0ne/registrations/x")
STRANGERS = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no mechanism of ours": SASL_HEADER + sasl.encode(sasl.Init("GSSAPI", b"x")),
    "garbage for a login": SASL_HEADER + b"\xff" * 200,
    "a giant SASL frame": SASL_HEADER + b"\x7f\xff\xff\xff\x02\x01\x00\x00",
    "garbage after the header": AMQP_HEADER + b"\xff" * 4_000,
    "an oversized frame": AMQP_HEADER + open_() + b"\x00\x10\x00\x00\x02\x00\x00\x00" + bytes(200_000),
    "a transfer to no link": AMQP_HEADER + open_() + begin() + transfer(3, 0, b"x"),
    "a transfer without credit": AMQP_HEADER + open_() + begin() + ADDRESS + transfer(0, 0, b"x") * 50,
    "too many links": AMQP_HEADER + open_() + begin()
    + b"".join(attach(number, SENDER, "nowhere") for number in range(300)),
}  # fmt: skip


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_told_and_cut_while_others_go_on(
    service: RunningService, device: tuple[ProtonDevice, str], stranger: str
) -> None:
    client, address = device
    receiver, sender = client.links(address)
    before = len(service.log_lines())
    with secured(service) as line:
        try:
            line.sendall(STRANGERS[stranger])
            heard = b""
            while data := line.recv(65_536):
                heard += data
        except (ConnectionResetError, BrokenPipeError):
            pass  # cut while it was still talking
        else:
            assert heard[:4] == b"AMQP"
    asked = m.encode(b"{}", application={"iotdps-operation-type": t.string("iotdps-register")})
    assert json.loads(client.asks(sender, receiver, asked).body)["status"] == "assigned"
    # Lines are written off the path.
    deadline = time.monotonic() + PATIENCE_S
    while not (told := [row for row in service.log_lines()[before:] if row["event"].startswith("amqp-")]):
        assert time.monotonic() < deadline, "no line says why"
    assert len(told) <= 2
    assert not [row for row in service.log_lines()[before:] if row["level"] in ("error", "critical")]


def test_without_the_extra_the_port_stays_closed_and_a_line_says_so(tmp_path: Path) -> None:
    with RunningService(tmp_path / "service", environment=without_amqp(tmp_path)) as bare:
        line = bare.logs("amqp-not-served")
        assert line["level"] == "warning"
        assert "accredit[amqp]" in line["reason"]
        assert "EXTRAS=amqp" in line["remedy"]
        assert bare.amqp_port == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((bare.host, 5671), timeout=PATIENCE_S)
        with bare.https() as http:
            assert http.get("/readyz").status_code == 200
