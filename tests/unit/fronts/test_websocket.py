"""WebSocket as a transport, against the websockets library's client and against hand-made frames."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from accredit.fronts.http_connection import HTTPFront, HTTPLimits
from accredit.fronts.listener import Listener
from accredit.fronts.websocket import WebSocketAdapter, WebSocketLimits
from support.hand_clock import HandClock
from support.tls_service import client_context, closed, connected, serving

MQTT = Subprotocol("mqtt")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"http"})


def refusal(status: int, sentence: str) -> bytes:
    return json.dumps({"message": sentence}).encode()


class Echo(asyncio.Protocol):
    """What it hears it sends back; some words make it do something else."""

    def __init__(self) -> None:
        self.transport: WebSocketAdapter
        self.heard: list[bytes] = []
        self.told: list[str] = []
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, WebSocketAdapter)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)
        match data:
            case b"close":
                self.transport.write(b"last words")
                self.transport.close()
                self.transport.write(b"too late")
            case b"abort":
                self.transport.abort()
            case b"much":
                self.transport.write(b"m" * 5_000_000)
            case _:
                self.transport.write(data)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.ended.set()


class Service:
    def __init__(self, listener: Listener, made: list[Echo]) -> None:
        self.listener = listener
        self.port = listener.port
        self.made = made

    def connect(self, path: str = "/$iothub/websocket", *offered: str, **options: object) -> connect:
        return connect(
            f"wss://localhost:{self.port}{path}",
            ssl=client_context(),
            subprotocols=[Subprotocol(name) for name in offered] or [MQTT],
            proxy=None,
            max_size=None,
            **options,  # type: ignore[arg-type]
        )


@asynccontextmanager
async def service(**limits: float) -> AsyncIterator[Service]:
    made: list[Echo] = []

    def echo() -> Echo:
        made.append(Echo())
        return made[-1]

    front = HTTPFront(
        application,
        HandClock(),
        refusal,
        websockets={"mqtt": echo, "AMQPWSB10": echo},
        limits=HTTPLimits(websocket=WebSocketLimits(**limits)),  # type: ignore[arg-type]
    )
    async with serving(front.connection) as listener:
        yield Service(listener, made)


def upgrade(*fields: bytes, path: bytes = b"/") -> bytes:
    key = base64.b64encode(os.urandom(16))
    head = [
        b"GET " + path + b" HTTP/1.1", b"Host: localhost", b"Upgrade: WebSocket", b"Connection: keep-alive, Upgrade",
        b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + key, *fields,
    ]  # fmt: skip
    return b"\r\n".join(head) + b"\r\n\r\n"


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


async def upgraded(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which frames can be sent by hand."""
    reader, writer = await connected(port)
    writer.write(upgrade(b"Sec-WebSocket-Protocol: mqtt"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def one_frame(reader: asyncio.StreamReader) -> tuple[Opcode, bytes]:
    first, size = await reader.readexactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    return Opcode(first & 15), await reader.readexactly(size)


class TestOpeningHandshake:
    """RFC 6455, 4.2."""

    @pytest.mark.parametrize(
        "path",
        ["/", "/$iothub/websocket", "/$iothub/websocket?iothub-no-client-cert=true", "/any/thing%20else"],
    )
    async def test_any_path_will_do(self, path: str) -> None:
        async with service() as it, it.connect(path) as client:
            await client.send(b"hello")
            assert await client.recv() == b"hello"

    @pytest.mark.parametrize("token", ["mqtt", "MQTT", "Mqtt", "AMQPWSB10", "amqpwsb10"])
    async def test_the_subprotocol_is_echoed_as_it_was_offered(self, token: str) -> None:
        async with service() as it, it.connect("/", token) as client:
            assert client.subprotocol == token

    async def test_the_first_known_one_offered_is_taken(self) -> None:
        async with service() as it, it.connect("/", "mqttv5", "MQTT", "amqpwsb10") as client:
            assert client.subprotocol == "MQTT"

    async def test_no_extension_is_negotiated(self) -> None:
        async with service() as it, it.connect() as client:
            assert client.request is not None
            assert client.response is not None
            assert "permessage-deflate" in client.request.headers["Sec-WebSocket-Extensions"]
            assert "Sec-WebSocket-Extensions" not in client.response.headers

    @pytest.mark.parametrize("offer", [b"", b"Sec-WebSocket-Protocol: chat, superchat\r\n"])
    async def test_without_a_known_subprotocol_it_is_400_with_one_sentence(self, offer: bytes) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(upgrade(*offer.splitlines()))
            received = await reader.read()
            await closed(writer)
            assert received.startswith(b"HTTP/1.1 400 ")
            assert received.endswith(b"Sec-WebSocket-Protocol must offer one of: mqtt, amqpwsb10.\n")
            assert it.made == []

    async def test_the_client_library_sees_that_refusal(self) -> None:
        async with service() as it:
            with pytest.raises(InvalidStatus) as refused:
                async with it.connect("/", "chat"):
                    pass
            assert refused.value.response.status_code == 400

    @pytest.mark.parametrize(
        ("old", "new", "status"),
        [
            (b"Version: 13", b"Version: 12", 400),
            (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: AA", 400),
            (b"GET ", b"POST ", 405),
            (b"HTTP/1.1", b"HTTP/1.0", 505),
        ],
    )
    async def test_a_wrong_request_is_refused(self, old: bytes, new: bytes, status: int) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(upgrade(b"Sec-WebSocket-Protocol: mqtt").replace(old, new))
            received = await reader.read()
            await closed(writer)
            assert b" %d " % status in received.split(b"\r\n")[0] or received == b""
            assert it.made == []

    async def test_frames_sent_with_the_request_are_not_lost(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(upgrade(b"Sec-WebSocket-Protocol: mqtt") + frame(Opcode.BINARY, b"early"))
            await reader.readuntil(b"\r\n\r\n")
            assert await one_frame(reader) == (Opcode.BINARY, b"early")
            await closed(writer)

    async def test_http_before_it_on_the_same_connection(self) -> None:
        async with service() as it:
            reader, writer = await connected(it.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"http")).startswith(b"HTTP/1.1 200 ")
            writer.write(upgrade(b"Sec-WebSocket-Protocol: mqtt"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            await closed(writer)

    async def test_who_connects_is_told_through_the_adapter(self) -> None:
        async with service() as it, it.connect() as client:
            await client.send(b"x")
            await client.recv()
            seen = it.made[0].transport
            assert seen.get_extra_info("peername")[0] == "127.0.0.1"
            assert seen.get_extra_info("peer_chain") == ()


class TestData:
    """RFC 6455, 5.4 and 5.6; MQTT 3.1.1, 6.0."""

    async def test_each_write_is_one_binary_frame(self) -> None:
        async with service() as it:
            reader, writer = await upgraded(it.port)
            writer.write(frame(Opcode.BINARY, b"one"))
            assert await one_frame(reader) == (Opcode.BINARY, b"one")
            await closed(writer)

    async def test_fragments_go_up_as_they_come(self) -> None:
        async with service() as it:
            reader, writer = await upgraded(it.port)
            for opcode, piece, fin in (
                (Opcode.BINARY, b"on", False),
                (Opcode.CONT, b"e two", False),
                (Opcode.CONT, b"", False),
                (Opcode.CONT, b" three", True),
            ):
                writer.write(frame(opcode, piece, fin=fin))
                if piece:
                    assert await one_frame(reader) == (Opcode.BINARY, piece)
            await closed(writer)

    async def test_five_megabytes_come_back(self) -> None:
        async with service() as it, it.connect() as client:
            sent = [os.urandom(500_000) for _ in range(10)]

            async def send() -> None:
                for each in sent:
                    await client.send(each)

            sending = asyncio.create_task(send())
            received = bytearray()
            while len(received) < 5_000_000:
                received += await client.recv()  # type: ignore[arg-type]
            await sending
            assert bytes(received) == b"".join(sent)

    async def test_a_slow_reader_pauses_the_front(self) -> None:
        async with service() as it:
            reader, writer = await upgraded(it.port)
            writer.transport.pause_reading()
            writer.write(frame(Opcode.BINARY, b"much"))
            while not (it.made and it.made[0].told):
                await asyncio.sleep(0)
            writer.transport.resume_reading()
            assert await one_frame(reader) == (Opcode.BINARY, b"m" * 5_000_000)
            assert it.made[0].told == ["pause", "resume"]
            await closed(writer)

    async def test_a_front_that_pauses_hears_nothing_until_it_resumes(self) -> None:
        async with service() as it, it.connect() as client:
            await client.send(b"x")
            await client.recv()
            echo = it.made[0]
            echo.transport.pause_reading()
            assert not echo.transport.is_reading()
            await client.send(b"later")
            echo.transport.resume_reading()
            assert await client.recv() == b"later"

    async def test_a_ping_is_answered(self) -> None:
        async with service() as it, it.connect(ping_interval=None) as client:
            await asyncio.wait_for(await client.ping(b"are you there"), 30)
            await client.send(b"still")
            assert await client.recv() == b"still"


async def close_code(client: ClientConnection) -> int:
    try:
        while True:
            await client.recv()
    except ConnectionClosed:
        assert client.close_code is not None
        return client.close_code


class TestClosing:
    """RFC 6455, 7."""

    async def test_the_front_closes_with_1000_after_its_last_words(self) -> None:
        async with service() as it, it.connect() as client:
            await client.send(b"close")
            assert await client.recv() == b"last words"
            assert await close_code(client) == 1000
            await it.made[0].ended.wait()

    async def test_the_client_closes_and_is_answered(self) -> None:
        async with service() as it:
            async with it.connect() as client:
                await client.send(b"x")
                await client.recv()
            assert (client.close_code, client.protocol.close_rcvd_then_sent) == (1000, False)
            await asyncio.wait_for(it.made[0].ended.wait(), 30)

    async def test_a_client_that_does_not_answer_the_close_is_cut(self) -> None:
        async with service(close_s=0.01) as it:
            reader, writer = await upgraded(it.port)
            writer.write(frame(Opcode.BINARY, b"close"))
            assert await one_frame(reader) == (Opcode.BINARY, b"last words")
            assert await one_frame(reader) == (Opcode.CLOSE, b"\x03\xe8")
            assert await reader.read() == b""
            await closed(writer)
            await asyncio.wait_for(it.made[0].ended.wait(), 30)

    async def test_nothing_goes_up_once_the_front_has_closed(self) -> None:
        async with service() as it:
            reader, writer = await upgraded(it.port)
            writer.write(frame(Opcode.BINARY, b"close"))
            await one_frame(reader)
            await one_frame(reader)
            writer.write(frame(Opcode.BINARY, b"nobody hears this") + frame(Opcode.CLOSE, b"\x03\xe8"))
            assert await reader.read() == b""
            await closed(writer)
            assert it.made[0].heard == [b"close"]

    async def test_an_abort_ends_at_once(self) -> None:
        async with service() as it, it.connect() as client:
            await client.send(b"abort")
            assert await close_code(client) == 1006
            await asyncio.wait_for(it.made[0].ended.wait(), 30)

    async def test_a_client_that_vanishes_is_told_to_the_front_once(self) -> None:
        async with service() as it:
            _, writer = await upgraded(it.port)
            await closed(writer)
            while not it.made or not it.made[0].told:
                await asyncio.sleep(0)
            assert it.made[0].told == ["lost"]

    async def test_text_is_1003(self) -> None:
        async with service() as it, it.connect() as client:
            await client.send("hello")
            assert await close_code(client) == 1003
            await asyncio.wait_for(it.made[0].ended.wait(), 30)
            assert it.made[0].heard == []

    @pytest.mark.parametrize("fragments", [1, 3])
    async def test_a_message_above_the_limit_is_1009(self, fragments: int) -> None:
        async with service(message_bytes=1000) as it, it.connect() as client:
            await client.send([b"x" * (1200 // fragments)] * fragments)
            assert await close_code(client) == 1009

    @pytest.mark.parametrize(
        "wrong",
        [
            Frame(Opcode.BINARY, b"not masked").serialize(mask=False),
            frame(Opcode.CONT, b"of nothing"),
            b"\xf2\x80\x00\x00\x00\x00",
            b"\x83\x80\x00\x00\x00\x00",
            frame(Opcode.BINARY, b"a", fin=False) + frame(Opcode.BINARY, b"b"),
        ],
        ids=["unmasked", "continuation", "reserved-bits", "reserved-opcode", "interleaved"],
    )
    async def test_a_breach_of_the_protocol_is_1002(self, wrong: bytes) -> None:
        async with service() as it:
            reader, writer = await upgraded(it.port)
            writer.write(wrong)
            opcode, payload = await one_frame(reader)
            if opcode is Opcode.BINARY:
                opcode, payload = await one_frame(reader)
            assert (opcode, payload[:2]) == (Opcode.CLOSE, b"\x03\xea")
            assert await reader.read() == b""
            await closed(writer)
            await asyncio.wait_for(it.made[0].ended.wait(), 30)

    async def test_a_draining_service_is_going_away(self) -> None:
        async with service() as it, it.connect() as client:
            await client.send(b"x")
            await client.recv()
            draining = asyncio.create_task(it.listener.drain(10))
            assert await close_code(client) == 1001
            await draining

    async def test_a_front_may_finish_in_its_own_way(self) -> None:
        async with service() as it, it.connect() as client:
            await client.send(b"x")
            await client.recv()
            front = it.made[0]
            front.drain = lambda: (front.transport.write(b"finished"), front.transport.close())  # type: ignore[attr-defined]
            draining = asyncio.create_task(it.listener.drain(10))
            assert await client.recv() == b"finished"
            assert await close_code(client) == 1000
            await draining


class Below(asyncio.Transport):
    """The TLS transport's side, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def linger(self) -> None:
        self.closed = True

    abort = linger

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.data())
@settings(deadline=None)
def test_the_bytes_of_any_frames_in_any_pieces_are_the_stream(
    payloads: list[bytes], data: st.DataObject
) -> None:
    async def run() -> None:
        echo = Echo()
        adapter = WebSocketAdapter({"mqtt": lambda: echo}, WebSocketLimits())
        adapter.upgrade(Below(), upgrade(b"Sec-WebSocket-Protocol: mqtt"))  # type: ignore[arg-type]
        stream = b"".join(frame(Opcode.BINARY, each) for each in payloads)
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            adapter.data_received(stream[:size])
            stream = stream[size:]
        assert b"".join(echo.heard) == b"".join(payloads) or {b"close", b"abort"} & set(echo.heard)

    asyncio.run(run())


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=10))
@settings(deadline=None)
def test_noise_ends_the_connection_or_is_waited_on(pieces: list[bytes]) -> None:
    async def run() -> None:
        below = Below()
        adapter = WebSocketAdapter({"mqtt": Echo}, WebSocketLimits())
        adapter.upgrade(below, upgrade(b"Sec-WebSocket-Protocol: mqtt"))  # type: ignore[arg-type]
        for piece in pieces:
            if not below.closed:
                adapter.data_received(piece)
        adapter.connection_lost(None)

    asyncio.run(run())
