"""HTTP/1.1 over TLS: what uvicorn leaves unbounded is bounded, and every refusal can be read."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from accredit.fronts.http_connection import HTTPConnection, HTTPFront, HTTPLimits
from accredit.fronts.listener import Listener
from support import pki
from support.hand_clock import HandClock
from support.logs import capture_logs
from support.tls_service import (
    TLS12,
    client_context,
    closed,
    connected,
    credential_file,
    said_at_once,
    serving,
)


class Application:
    """Answers with what it read; paths choose how. `gate` holds `/held` back until the test opens it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.scopes: list[Scope] = []
        self.disconnects = 0
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.entered.set()
        body = b""
        if scope["path"] != "/unread":
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.disconnects += 1
                    return
                body += message["body"]
                if not message["more_body"]:
                    break
        self.bodies.append(body)
        if scope["path"] == "/held":
            await self.gate.wait()
        answer = f"{scope['method']} {scope['path']} {len(body)}".encode()
        if scope["path"] == "/big":
            answer = b"b" * 5_000_000
        headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def refusal(status: int, sentence: str) -> bytes:
    return json.dumps({"errorCode": status * 1000 + 1, "message": sentence}).encode()


class Service:
    """One port with the application behind it, and raw exchanges with it."""

    def __init__(self, listener: Listener, application: Application) -> None:
        self.port = listener.port
        self.listener = listener
        self.application = application

    async def exchange(self, *pieces: bytes) -> bytes:
        """All that comes back for these bytes until the service ends the connection."""
        reader, writer = await connected(self.port)
        for piece in pieces:
            writer.write(piece)
        received = bytearray()
        try:
            while chunk := await reader.read(65_536):
                received += chunk
        except OSError:
            pass
        await closed(writer)
        return bytes(received)


@asynccontextmanager
async def service(**limits: float) -> AsyncIterator[Service]:
    application = Application()
    front = HTTPFront(application, HandClock(), refusal, limits=HTTPLimits(**limits))  # type: ignore[arg-type]
    async with serving(front.connection) as listener:
        yield Service(listener, application)


CLOSE = b"Connection: close\r\n\r\n"


def get(path: str, *, last: bool = False) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + (CLOSE if last else b"\r\n")


def statuses(received: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in received.split(b"HTTP/1.1 ")[1:]]


def message(received: bytes) -> str:
    head, _, body = received.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    assert b"content-type: application/json; charset=utf-8" in head
    assert b"connection: close" in head
    return str(json.loads(body)["message"])


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    return int(head.split()[1]), await reader.readexactly(int(fields[b"content-length"]))


class TestUvicornMembers:
    """uvicorn's protocol is not public API: what is overridden or used here must be there, in the pinned version."""

    def test_the_version_is_the_one_these_members_were_read_in(self) -> None:
        assert uvicorn.__version__ == "0.54.0"

    @pytest.mark.parametrize(
        "name",
        [
            "connection_made", "connection_lost", "data_received", "eof_received", "on_message_begin",
            "on_headers_complete", "on_body", "on_message_complete", "on_response_complete", "_start_asgi_task",
            "_should_upgrade", "_should_upgrade_to_ws",
        ],
    )  # fmt: skip
    def test_protocol_methods(self, name: str) -> None:
        assert callable(vars(HttpToolsProtocol)[name])

    async def test_protocol_attributes(self) -> None:
        front = HTTPFront(Application(), HandClock(), refusal)
        connection = HttpToolsProtocol(front.config, ServerState(), {})
        for name in (
            "parser", "loop", "logger", "transport", "flow", "cycle", "pipeline", "scope", "headers", "server_state",
            "connections", "tasks",
        ):  # fmt: skip
            assert hasattr(connection, name), name

    def test_cycle_attributes(self) -> None:
        names = RequestResponseCycle.__init__.__code__.co_names
        expected = {"keep_alive", "disconnected", "response_started", "response_complete", "message_event"}
        assert expected <= set(names)
        assert {"pause_reading", "resume_reading"} <= set(vars(FlowControl))

    async def test_no_logger_of_the_process_was_configured(self) -> None:
        HTTPFront(Application(), HandClock(), refusal)
        assert logging.getLogger("uvicorn").handlers == []
        assert logging.getLogger("uvicorn.error").handlers == []


class TestScope:
    async def test_the_clients_chain_is_in_the_tls_extension(self, tmp_path: Path) -> None:
        authority = pki.root("maker")
        device = authority.issue("device-1")
        credential = credential_file(tmp_path, device, authority)
        async with service() as it:
            reader, writer = await connected(it.port, client_context(TLS12, credential))
            for _ in range(2):
                writer.write(get("/a%20b?x=1"))
                assert await answer(reader) == (200, b"GET /a b 0")
            await closed(writer)
            for scope in it.application.scopes:
                tls = scope["extensions"]["tls"]
                assert tls["client_cert_chain_der"] == (device.der, authority.der)
                # The connection is gone, and nothing is known of it any more.
                assert tls["channel_bindings"]() == ()
                assert scope["scheme"] == "https"
                assert scope["client"][0] == "127.0.0.1"
                assert scope["query_string"] == b"x=1"

    async def test_no_certificate_is_an_empty_chain(self) -> None:
        async with service() as it:
            await it.exchange(get("/", last=True))
            assert it.application.scopes[0]["extensions"]["tls"]["client_cert_chain_der"] == ()


class TestHead:
    async def test_a_giant_head_is_431(self) -> None:
        async with service(head_bytes=4096) as it:
            received = await it.exchange(b"GET / HTTP/1.1\r\nX: ", b"x" * 3_000_000)
            assert statuses(received) == [431]
            assert message(received) == "The request head is longer than 4096 bytes."
            assert it.application.scopes == []

    async def test_a_giant_target_is_431(self) -> None:
        async with service() as it:
            assert statuses(await it.exchange(b"GET /" + b"x" * 1_000_000)) == [431]

    async def test_too_many_fields_are_431(self) -> None:
        async with service(headers=5) as it:
            head = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 6 + b"\r\n"
            assert statuses(await it.exchange(head)) == [431]
            assert it.application.scopes == []

    async def test_heads_of_many_requests_are_not_added_up(self) -> None:
        async with service(head_bytes=200) as it:
            reader, writer = await connected(it.port)
            for _ in range(20):
                writer.write(get("/"))
                assert (await answer(reader))[0] == 200
            await closed(writer)

    @pytest.mark.parametrize(
        "noise",
        [
            b"\x00\x01\x02\x03\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
            b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    )
    async def test_what_is_not_http_is_400_without_a_trace(self, noise: bytes) -> None:
        with capture_logs() as logs:
            async with service() as it:
                received = await it.exchange(noise)
        assert statuses(received) == [400]
        assert message(received) == "The request is not well-formed HTTP/1.1."
        assert logs == []

    @pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
    async def test_a_slow_head_is_cut(self, begun: bytes) -> None:
        async with service(head_s=0.02) as it:
            received = await asyncio.to_thread(said_at_once, it.port, begun)
        assert statuses(received) == ([408] if begun else [])

    async def test_bytes_that_keep_trickling_do_not_put_the_deadline_off(self) -> None:
        async with service(head_s=0.05) as it:
            begun = b"GET / HTTP/1.1\r\nX: "
            assert statuses(await asyncio.to_thread(said_at_once, it.port, begun, b"x")) == [408]


class TestBody:
    async def test_a_body_in_the_limit_is_read_whole(self) -> None:
        async with service(body_bytes=100_000) as it:
            head = b"PUT /p HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n" + CLOSE
            received = await it.exchange(head, b"x" * 100_000)
            assert received.endswith(b"PUT /p 100000")

    async def test_one_that_says_it_is_larger_is_413_before_it_is_read(self) -> None:
        async with service(body_bytes=100) as it:
            received = await it.exchange(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n")
            assert statuses(received) == [413]
            assert message(received) == "The body is larger than 100 bytes."
            assert it.application.scopes == []

    async def test_its_sender_can_read_that_while_still_sending(self) -> None:
        async with service() as it:
            head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
            assert statuses(await it.exchange(head, b"x" * 3_000_000)) == [413]

    async def test_a_chunked_one_is_counted(self) -> None:
        async with service(body_bytes=100) as it:
            chunk = b"32\r\n" + b"x" * 50 + b"\r\n"
            received = await it.exchange(
                b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, chunk, chunk
            )
            assert statuses(received) == [413]

    @pytest.mark.parametrize(
        "beside",
        [b"0\r\n" + b"X: y\r\n" * 20_000, b"0\r\nX: " + b"y" * 100_000, b"1;" + b"e" * 100_000],
        ids=["many-trailers", "one-trailer", "extension"],
    )
    async def test_what_a_chunked_one_has_beside_its_bytes_is_counted(self, beside: bytes) -> None:
        async with service() as it:
            head = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            received = await it.exchange(head, b"1\r\nx\r\n", beside)
            assert statuses(received) == [431]
            assert message(received) == "The body's trailer is longer than 32768 bytes."

    async def test_a_short_trailer_is_none_of_it(self) -> None:
        async with service() as it:
            head = b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert statuses(await it.exchange(head, b"1\r\nx\r\n0\r\nX: y\r\n\r\n")) == [200]

    async def test_an_application_in_the_middle_of_it_learns_that_the_client_is_gone(self) -> None:
        async with service(body_bytes=100) as it:
            reader, writer = await connected(it.port)
            writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            await it.application.entered.wait()
            writer.write(b"64\r\n" + b"x" * 100)
            assert statuses(await reader.read()) == [413]
            await closed(writer)
            assert it.application.disconnects == 1
            assert it.application.bodies == []

    async def test_a_slow_one_is_408(self) -> None:
        async with service(body_s=0.02) as it:
            received = await it.exchange(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
            assert statuses(received) == [408]
            assert "body" in message(received)
            assert it.application.disconnects == 1

    async def test_a_body_that_keeps_trickling_does_not_put_the_deadline_off(self) -> None:
        async with service(body_s=0.05) as it:
            begun = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
            assert statuses(await asyncio.to_thread(said_at_once, it.port, begun, b"x")) == [408]

    async def test_one_whose_sender_leaves_reaches_nobody(self) -> None:
        async with service() as it:
            _, writer = await connected(it.port)
            writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
            await it.application.entered.wait()
            await closed(writer)
            while not it.application.disconnects:
                await asyncio.sleep(0)
            assert it.application.bodies == []

    async def test_one_that_nobody_reads_does_not_disturb_the_next_request(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            for _ in range(3):
                writer.write(b"PUT /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789")
                assert await answer(reader) == (200, b"PUT /unread 0")
            await closed(writer)

    async def test_expect_100_continue_is_answered(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert await answer(reader) == (200, b"PUT / 3")
            await closed(writer)


class TestConnection:
    async def test_requests_follow_one_another(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            for path in ("/1", "/2", "/3"):
                writer.write(get(path))
                assert await answer(reader) == (200, f"GET {path} 0".encode())
            await closed(writer)

    async def test_requests_sent_ahead_are_answered_in_order(self) -> None:
        async with service() as it:
            sent = b"".join(get(f"/{number}", last=number == 9) for number in range(10))
            received = await it.exchange(sent)
            assert [f"GET /{number} 0".encode() in received for number in range(10)] == [True] * 10
            assert received.index(b"GET /3 0") < received.index(b"GET /4 0")

    async def test_too_many_sent_ahead_end_the_connection_after_those_taken(self) -> None:
        async with service(pipelined=3) as it:
            reader, writer = await connected(it.port)
            writer.write(get("/held") + get("/") * 20)
            await it.application.entered.wait()
            it.application.gate.set()
            received = await reader.read()
            assert statuses(received) == [200, 200, 200, 200, 400]
            assert message(received) == "More than 3 requests were sent ahead."
            await closed(writer)

    async def test_a_bad_request_waits_its_turn_to_be_told(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(get("/held") + b"not http\r\n\r\n")
            await it.application.entered.wait()
            it.application.gate.set()
            received = await reader.read()
            assert statuses(received) == [200, 400]
            await closed(writer)

    async def test_an_oversized_body_sent_ahead_waits_its_turn_too(self) -> None:
        async with service(body_bytes=10) as it:
            reader, writer = await connected(it.port)
            writer.write(get("/held") + b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"14\r\n" + b"x" * 20 + b"\r\n")
            await it.application.entered.wait()
            it.application.gate.set()
            assert statuses(await reader.read()) == [200, 413]
            assert [scope["path"] for scope in it.application.scopes] == ["/held"]
            await closed(writer)

    async def test_an_idle_one_is_closed_without_a_word(self) -> None:
        async with service(idle_s=0.02) as it:
            reader, writer = await connected(it.port)
            writer.write(get("/"))
            assert (await answer(reader))[0] == 200
            assert await reader.read() == b""
            await closed(writer)

    async def test_an_application_that_takes_its_time_is_waited_for(self) -> None:
        async with service(head_s=0.01, body_s=0.01, idle_s=0.01) as it:
            told = asyncio.create_task(asyncio.to_thread(said_at_once, it.port, get("/held")))
            await it.application.entered.wait()
            asyncio.get_running_loop().call_later(0.06, it.application.gate.set)
            assert (await told).endswith(b"GET /held 0")

    async def test_a_client_that_half_closes_gets_its_answer(self) -> None:
        def half_closed(port: int) -> bytes:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                tls = client_context().wrap_socket(raw, server_hostname="localhost")
                tls.sendall(get("/held"))
                socket.socket.shutdown(tls, socket.SHUT_WR)
                received = bytearray()
                while chunk := tls.recv(1000):
                    received += chunk
                tls.close()
                return bytes(received)

        async with service() as it:
            exchange = asyncio.create_task(asyncio.to_thread(half_closed, it.port))
            await it.application.entered.wait()
            asyncio.get_running_loop().call_later(0.02, it.application.gate.set)
            assert (await exchange).endswith(b"GET /held 0")

    async def test_a_large_answer_reaches_a_slow_reader(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.transport.pause_reading()
            writer.write(get("/big"))
            await it.application.entered.wait()
            await asyncio.sleep(0)
            writer.transport.resume_reading()
            assert (await answer(reader))[1] == b"b" * 5_000_000
            await closed(writer)

    async def test_an_unknown_upgrade_is_ignored(self) -> None:
        async with service() as it:
            upgrade = (
                b"GET /u HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
            )
            received = await it.exchange(upgrade)
            assert statuses(received) == [200]
            assert received.endswith(b"GET /u 0")

    async def test_http_1_0_is_answered_and_closed(self) -> None:
        async with service() as it:
            assert (await it.exchange(b"GET /old HTTP/1.0\r\n\r\n")).endswith(b"GET /old 0")


class TestDrain:
    async def test_an_idle_connection_is_closed(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(get("/"))
            await answer(reader)
            await it.listener.drain(10)
            assert await reader.read() == b""
            await closed(writer)

    async def test_a_request_in_hand_is_answered_first(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(get("/held"))
            await it.application.entered.wait()
            draining = asyncio.create_task(it.listener.drain(10))
            await asyncio.sleep(0)
            it.application.gate.set()
            received = await reader.read()
            assert b"connection: close" in received
            assert received.endswith(b"GET /held 0")
            await draining
            await closed(writer)

    async def test_a_request_half_received_is_answered_too(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(b"PUT /rest HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
            await it.application.entered.wait()
            draining = asyncio.create_task(it.listener.drain(10))
            await asyncio.sleep(0)
            writer.write(b"bc")
            assert (await reader.read()).endswith(b"PUT /rest 3")
            await draining
            await closed(writer)


class Wire(asyncio.Transport):
    """A transport in memory, for inputs by the thousand."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """An upgrade hands the connection on: what comes from then on is the WebSocket's."""
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    linger = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peer_chain": (), "peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(
            name, default
        )


TOKENS = [
    b"GET / HTTP/1.1\r\n", b"POST /p HTTP/1.1\r\n", b"Host: x\r\n", b"Content-Length: 3\r\n", b"\r\n", b"abc", b"\n",
    b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"\xff\x00", b"Content-Length: 99999999999\r\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=20), max_size=25))
@example([TOKENS[0], TOKENS[2], TOKENS[11], TOKENS[4], TOKENS[5]])  # to WebSocket, and on
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered_or_waited_on(pieces: list[bytes]) -> None:
    async def feed() -> None:
        application = Application()
        front = HTTPFront(application, HandClock(), refusal, websockets={"mqtt": asyncio.Protocol})
        connection: HTTPConnection = front.connection()
        wire = Wire()
        connection.connection_made(wire)
        for piece in pieces:
            if wire.closed:
                break
            reading = wire.protocol or connection
            assert isinstance(reading, asyncio.Protocol)
            reading.data_received(piece)
            await asyncio.sleep(0)
        (wire.protocol or connection).connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)
        assert all(100 <= status < 600 for status in statuses(bytes(wire.written)))

    asyncio.run(feed())
