"""What strangers send to the HTTPS port: each is answered by its status or closed, and a good device beside it notices nothing.

Nothing of it may leave a traceback in the log: the `service` fixture looks for one at the end.
"""

from __future__ import annotations

import contextlib
import re
import ssl

import pytest

from accredit.wire import mqtt
from support.channels import tls_socket
from support.enrolling import symmetric_individual
from support.raw_device import sas_token
from support.running_service import RunningService

pytestmark = pytest.mark.usefixtures("healthy")

CONNECT = mqtt.Connect("x", "0ne/registrations/x/api-version=2019-03-31", b"x")
KIB = 1024


def answers(service: RunningService, data: bytes) -> list[int]:
    """The status of each answer on one connection, read to its end."""
    return _statuses(exchanged(service, data))


def exchanged(service: RunningService, data: bytes) -> bytes:
    """Everything that is answered on one connection."""
    with tls_socket(service, service.https_port) as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # it may be refused before all is sent
            connection.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while chunk := connection.recv(65_536):
                received += chunk
    return received


def _statuses(received: bytes) -> list[int]:
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


class TestDeviceAPI:
    """Well-formed HTTP that is no call of the device API, and odd forms of calls that are."""

    @pytest.mark.parametrize(
        ("line", "status"),
        [
            ("GET /{scope}/registrations/{name}/register?api-version=2019-03-31", 405),
            ("DELETE /{scope}/registrations/{name}/register?api-version=2019-03-31", 405),
            ("POST /{scope}/registrations/{name}/operations/1?api-version=2019-03-31", 405),
            ("TRACE /{scope}/registrations/{name}/register?api-version=2019-03-31", 405),
            ("PUT /{scope}/registrations/{name}/nothing?api-version=2019-03-31", 404),
            ("PUT /{scope}/registrations/{name}/register/%2e%2e?api-version=2019-03-31", 404),
            ("PUT /{scope}/registrations/{name}/register", 400),
            ("PUT /{scope}/registrations/{name}/register?api-version=", 400),
            ("PUT /{scope}/registrations/{name}/register?api-version=2019-03-32", 400),
            ("PUT /{scope}/registrations/{name}/register?api-version=2019-03-32&api-version=2019-03-31", 400),
            ("PUT /{scope}/registrations/%00/register?api-version=2019-03-31", 400),
            ("PUT /{scope}/registrations/%ff/register?api-version=2019-03-31", 400),
            ("PUT /0ne00000000/registrations/{name}/register?api-version=2019-03-31", 401),
        ],
    )
    def test_is_answered_in_json(self, service: RunningService, name: str, line: str, status: int) -> None:
        symmetric_individual(service, name)
        line = line.format(scope=service.id_scope, name=name)
        text = exchanged(
            service, f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        assert _statuses(text) == [status]
        head, _, body = text.partition(b"\r\n\r\n")
        assert b"application/json" in head.lower()
        assert b'"errorCode":%d' % status in body
        assert b'"trackingId"' in body

    @pytest.mark.parametrize(
        ("fields", "body"),
        [
            ("Content-Encoding: utf-8\r\nContent-Length: 2\r\n", "{}"),
            ("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"),
            ("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}"),
            ("Content-Length: 2\r\n", "{}"),
            ("Content-Length: 0\r\n", ""),
            ("Transfer-Encoding: chunked\r\n", "1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n"),
            ("Expect: 100-continue\r\nContent-Length: 2\r\n", "{}"),
            ("authorization: {token}\r\nContent-Length: 2\r\n", "{}"),
            ("Upgrade: h2c\r\nContent-Length: 2\r\n", "{}"),
        ],
        ids=[
            "utf-8 as an encoding", "gzip that is none", "another type", "no type", "nothing", "chunked", "expect",
            "lower case", "an upgrade to nothing",
        ],
    )  # fmt: skip
    def test_odd_forms_of_a_registration_are_one(
        self, service: RunningService, name: str, fields: str, body: str
    ) -> None:
        """Azure: Content-Encoding means nothing, and no Content-Type is asked for."""
        token = sas_token(f"{service.id_scope}/registrations/{name}", symmetric_individual(service, name))
        if "{token}" not in fields:
            fields += "Authorization: {token}\r\n"
        call = (
            f"PUT /{service.id_scope}/registrations/{name}/register?api-version=2019-03-31 HTTP/1.1\r\n"
            f"Host: x\r\nConnection: close\r\n{fields.format(token=token)}\r\n{body}"
        )
        text = exchanged(service, call.encode())
        assert _statuses(text)[-1] == 200
        assert b'"status":"assigned"' in text

    def test_registrations_sent_ahead_are_answered_in_turn(self, service: RunningService, name: str) -> None:
        token = sas_token(f"{service.id_scope}/registrations/{name}", symmetric_individual(service, name))
        call = (
            f"PUT /{service.id_scope}/registrations/{name}/register?api-version=2019-03-31 HTTP/1.1\r\n"
            f"Host: x\r\nAuthorization: {token}\r\nContent-Length: 2\r\n\r\n{{}}"
        )
        wrong = call.replace("sig=", "sig=AA")
        last = wrong.replace("Host: x", "Host: x\r\nConnection: close")
        assert answers(service, (call + wrong + call + last).encode()) == [200, 401, 200, 401]

    @pytest.mark.parametrize(
        "value",
        [
            "SharedAccessSignature", "SharedAccessSignature sr=&sig=&se=", "Bearer eyJhbGciOiJub25lIn0.e30.",
            "Basic eDp5", "SharedAccessSignature " + "a" * 8 * KIB, "SharedAccessSignature sr=%ff&sig=AA&se=1",
        ],
        ids=["a name", "empty fields", "a bearer token", "a password", "8 KiB", "no UTF-8"],
    )  # fmt: skip
    def test_a_proof_that_is_none_is_401(self, service: RunningService, name: str, value: str) -> None:
        symmetric_individual(service, name)
        call = (
            f"PUT /{service.id_scope}/registrations/{name}/register?api-version=2019-03-31 HTTP/1.1\r\n"
            f"Host: x\r\nAuthorization: {value}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        assert answers(service, call.encode()) == [401]
