"""The MQTT connection: packets to conversations, deadlines, limits, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.fronts.mqtt import (
    MAX_CONNECT_BYTES,
    MAX_HELD_BYTES,
    MAX_UNREAD_BYTES,
    Conversation,
    MqttConnection,
    MqttLink,
)
from accredit.wire import mqtt
from accredit.wire.mqtt import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from support.logs import capture_logs
from support.mqtt_transcript import RecordingTransport, Transcript, client, closed, gone, server

DPS = Connect("dev", "0neAB/registrations/dev/api-version=2019-03-31", keep_alive_s=60)
HUB = Connect("dev", "hub.example/dev/?api-version=2021-04-12")


class Echo:
    """A conversation that keeps what it is told and publishes back what is published."""

    def __init__(self, link: MqttLink) -> None:
        self.link = link
        self.said: list[object] = []

    def subscribe(self, topic_filter: str, qos: int) -> int:
        self.said.append(("subscribe", topic_filter, qos))
        return 0x80 if topic_filter == "no" else min(qos, 1)

    def unsubscribe(self, topic_filter: str) -> None:
        self.said.append(("unsubscribe", topic_filter))

    def publish(self, packet: Publish) -> None:
        self.said.append(("publish", packet.topic, packet.payload))
        if packet.topic == "break":
            raise LookupError
        if packet.topic == "close":
            self.link.close("told to")
            return
        if packet.packet_id is not None:
            self.link.acknowledge(packet.packet_id)
        self.link.send(packet.topic, packet.payload, packet.qos)

    def closed(self, graceful: bool) -> None:
        self.said.append(("closed", graceful))


class Resumed(Echo):
    session_present = True

    def drain(self) -> None:
        self.said.append("drain")


class Door:
    """Opens an `Echo` for everybody, or answers `code`; while `gate` is set it waits for it."""

    def __init__(self, code: int | None = None, kind: type[Echo] = Echo) -> None:
        self.code = code
        self.kind = kind
        self.gate: asyncio.Future[None] | None = None
        self.asked: list[Connect] = []
        self.opened: list[Echo] = []

    async def open(self, connect: Connect, link: MqttLink) -> Conversation | int:
        self.asked.append(connect)
        if self.gate is not None:
            await self.gate
        if self.code is not None:
            return self.code
        conversation = self.kind(link)
        self.opened.append(conversation)
        return conversation

    @property
    def said(self) -> list[object]:
        (conversation,) = self.opened
        return conversation.said


class HandLoop:
    """Time that a test moves, with the callbacks that are due (`fronts.mqtt.Timers`)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handles: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], Any], /) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), asyncio.get_running_loop())
        self.handles.append(handle)
        return handle

    def advance(self, to: float) -> None:
        while due := sorted(handle for handle in self.handles if handle.when() <= to):
            self.now = max(self.now, due[0].when())
            self.handles.remove(due[0])
            if not due[0].cancelled():
                due[0]._run()
        self.now = to


def connection(
    dps: Door | None = None, hub: Door | None = None, timers: HandLoop | None = None
) -> Transcript:
    return Transcript(lambda: MqttConnection(dps or Door(), hub or Door(), timers))


def waiting() -> Door:
    door = Door()
    door.gate = asyncio.get_running_loop().create_future()
    return door


class TestConversation:
    async def test_each_packet_reaches_it_and_is_answered(self) -> None:
        hub = Door()
        await connection(hub=hub).play(
            client >> HUB,
            server << ConnAck(False, 0),
            client >> Subscribe(1, (("a", 1), ("no", 0), ("b", 2))),
            server << SubAck(1, (1, 0x80, 1)),
            client >> Unsubscribe(2, ("a",)),
            server << UnsubAck(2),
            client >> Publish("t", b"0"),
            server << Publish("t", b"0"),
            client >> Publish("t", b"1", 1, 9),
            server << PubAck(9),
            server << Publish("t", b"1", 1, 1),
            client >> PubAck(1),
            client >> PingReq(),
            server << PingResp(),
            client >> Disconnect(),
            server << closed,
        )
        assert hub.said == [
            ("subscribe", "a", 1),
            ("subscribe", "no", 0),
            ("subscribe", "b", 2),
            ("unsubscribe", "a"),
            ("publish", "t", b"0"),
            ("publish", "t", b"1"),
            ("closed", True),
        ]

    @pytest.mark.parametrize(("connect", "of_dps"), [(DPS, True), (HUB, False)])
    async def test_the_user_name_selects_who_is_asked(self, connect: Connect, of_dps: bool) -> None:
        dps, hub = Door(), Door()
        await connection(dps, hub).play(client >> connect, server << ConnAck(False, 0))
        assert (dps.asked, hub.asked) == (([connect], []) if of_dps else ([], [connect]))

    async def test_it_knows_the_peer(self) -> None:
        hub = Door()
        transcript = Transcript(
            lambda: MqttConnection(Door(), hub), source="198.51.100.9", peer_chain=(b"leaf", b"issuer")
        )
        await transcript.play(client >> HUB, server << ConnAck(False, 0))
        link = hub.opened[0].link
        assert (link.source, link.peer_chain) == ("198.51.100.9", (b"leaf", b"issuer"))

    async def test_it_may_resume_a_session(self) -> None:
        hub = Door(kind=Resumed)
        await connection(hub=hub).play(client >> HUB, server << ConnAck(True, 0))

    async def test_packet_ids_go_round_without_0(self) -> None:
        hub = Door()
        transcript = connection(hub=hub)
        await transcript.play(client >> HUB, server << ConnAck(False, 0))
        link = hub.opened[0].link
        for _ in range(0xFFFF):
            link.send("t", b"", 1)
        transcript.transport.written.clear()
        link.send("t", b"", 1)
        await transcript.play(server << Publish("t", b"", 1, 1))

    async def test_many_packets_in_one_chunk(self) -> None:
        chunk = b"".join(
            map(mqtt.encode, (HUB, Publish("t", b"1"), PingReq(), Disconnect(), Publish("t", b"2")))
        )
        hub = Door()
        await connection(hub=hub).play(
            client >> chunk,
            server << ConnAck(False, 0),
            server << Publish("t", b"1"),
            server << PingResp(),
            server << closed,
        )
        assert hub.said == [("publish", "t", b"1"), ("closed", True)]

    async def test_a_lost_connection_is_not_graceful(self) -> None:
        hub = Door()
        await connection(hub=hub).play(client >> HUB, server << ConnAck(False, 0), client >> gone)
        assert hub.said == [("closed", False)]

    async def test_what_it_says_after_the_end_goes_nowhere(self) -> None:
        hub = Door()
        transcript = connection(hub=hub)
        await transcript.play(
            client >> HUB, server << ConnAck(False, 0), client >> Disconnect(), server << closed
        )
        link = hub.opened[0].link
        link.send("t", b"", 1)
        link.acknowledge(1)
        link.close("again")
        assert transcript.transport.written == b""

    async def test_it_may_end_the_connection(self) -> None:
        with capture_logs() as logs:
            await connection().play(
                client >> HUB,
                server << ConnAck(False, 0),
                client >> Publish("close", b"", 1, 1),
                server << closed,
            )
        assert [(line["event"], line["reason"], line["source"]) for line in logs] == [
            ("mqtt-closed", "told to", "192.0.2.7")
        ]

    async def test_its_defect_ends_its_connection_alone(self) -> None:
        hub = Door()
        with capture_logs() as logs:
            await connection(hub=hub).play(
                client >> HUB, server << ConnAck(False, 0), client >> Publish("break", b""), server << closed
            )
        assert [(line["event"], line["log_level"]) for line in logs] == [
            ("mqtt-conversation-broken", "error")
        ]
        assert hub.said[-1] == ("closed", False)


class TestRefusal:
    @pytest.mark.parametrize("waits", [True, False])
    async def test_the_code_of_the_opener_and_the_end(self, waits: bool) -> None:
        hub = Door(code=5)
        if waits:
            hub.gate = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(hub.gate.set_result, None)
        await connection(hub=hub).play(client >> HUB, server << ConnAck(False, 5), server << closed)

    @pytest.mark.parametrize(
        ("connect", "code"), [(Connect("", "u"), 2), (Connect("dev"), 4), (Connect("d" * 300, "u"), 2)]
    )
    async def test_nobody_is_asked_about_an_impossible_connect(self, connect: Connect, code: int) -> None:
        dps, hub = Door(), Door()
        with capture_logs() as logs:
            await connection(dps, hub).play(
                client >> connect, server << ConnAck(False, code), server << closed
            )
        assert dps.asked == hub.asked == []
        assert [(line["event"], line["code"]) for line in logs] == [("mqtt-connect-refused", code)]

    async def test_another_protocol_level(self) -> None:
        data = b"\x10\x0f\0\x04MQTT\x05\x02\0\0\0\0\x02id"
        await connection().play(client >> data, server << ConnAck(False, 1), server << closed)

    async def test_a_defect_of_the_opener_is_answered_3(self) -> None:
        hub = waiting()
        assert hub.gate is not None
        hub.gate.set_exception(LookupError())
        with capture_logs() as logs:
            await connection(hub=hub).play(client >> HUB, server << ConnAck(False, 3), server << closed)
        assert "mqtt-connect-failed" in [line["event"] for line in logs]


class TestBreaches:
    @pytest.mark.parametrize(
        ("breach", "reason"),
        [
            (HUB, "a second CONNECT"),
            (b"\x34\x05\0\x01t\0\x01", "QoS 2"),
            (b"\x30\xff\xff\xff\x7f", "a packet larger than allowed"),
            (PingResp(), "a packet that only a server sends"),
            (b"\0", "an unknown packet type or flags"),
        ],
    )
    async def test_each_ends_the_connection_with_one_line(
        self, breach: mqtt.Packet | bytes, reason: str
    ) -> None:
        hub = Door()
        with capture_logs() as logs:
            await connection(hub=hub).play(
                client >> HUB, server << ConnAck(False, 0), client >> breach, server << closed
            )
        assert [(line["event"], line["reason"], line["log_level"]) for line in logs] == [
            ("mqtt-closed", reason, "info")
        ]
        assert hub.said == [("closed", False)]

    async def test_what_came_before_it_in_the_chunk_counts(self) -> None:
        await connection().play(
            client >> mqtt.encode(HUB) + mqtt.encode(PingReq()) + b"\0",
            server << ConnAck(False, 0),
            server << PingResp(),
            server << closed,
        )

    async def test_anything_before_connect(self) -> None:
        await connection().play(client >> PingReq(), server << closed)

    async def test_a_giant_connect(self) -> None:
        giant = Connect("dev", "u" * 60_000)
        assert len(mqtt.encode(giant)) > MAX_CONNECT_BYTES
        await connection().play(client >> mqtt.encode(giant)[:8], server << closed)

    @pytest.mark.parametrize(
        ("connect", "size", "fits"),
        [(DPS, 96 * 1024, True), (DPS, 120 * 1024, False), (HUB, 256 * 1024, True), (HUB, 330 * 1024, False)],
    )
    async def test_a_packet_of_each_service_has_its_limit(
        self, connect: Connect, size: int, fits: bool
    ) -> None:
        packet = Publish("t", b"x" * size)
        answer = server << (packet if fits else closed)
        await connection().play(client >> connect, server << ConnAck(False, 0), client >> packet, answer)

    @given(st.lists(st.binary(max_size=60), max_size=4), st.booleans())
    def test_no_bytes_break_it(self, chunks: list[bytes], connected: bool) -> None:
        async def feed() -> list[str]:
            transport = RecordingTransport()
            front = MqttConnection(Door(), Door())
            transport.protocol = front
            front.connection_made(transport)
            if connected:
                front.data_received(mqtt.encode(HUB))
            for chunk in chunks:
                front.data_received(chunk)
            transport.abort()
            await asyncio.sleep(0)
            return [line["event"] for line in logs]

        with capture_logs() as logs:
            events = asyncio.run(feed())
        # "break" and "close" are not to be guessed by chance: nothing but refusals and breaches may be logged.
        assert set(events) <= {"mqtt-closed", "mqtt-connect-refused"}


class TestOpening:
    async def test_packets_wait_for_the_connack_and_keep_their_order(self) -> None:
        hub = waiting()
        transcript = connection(hub=hub)
        chunk = b"".join(map(mqtt.encode, (HUB, Publish("t", b"1"), PingReq())))
        await transcript.play(client >> chunk, client >> Publish("t", b"2"))
        assert not transcript.transport.reading
        assert hub.gate is not None
        hub.gate.set_result(None)
        await transcript.play(
            server << ConnAck(False, 0),
            server << Publish("t", b"1"),
            server << PingResp(),
            server << Publish("t", b"2"),
        )
        assert transcript.transport.reading

    async def test_what_waits_is_bounded(self) -> None:
        transcript = connection(hub=waiting())
        await transcript.play(client >> HUB, client >> b"\x30\xff\xff\x07" + b"\0" * (MAX_HELD_BYTES - 4))
        await transcript.play(client >> b"\0", server << closed)

    async def test_a_second_connect_meanwhile(self) -> None:
        await connection(hub=waiting()).play(client >> HUB, client >> HUB, server << closed)

    async def test_a_conversation_that_opens_too_late_is_told_that_it_is_over(self) -> None:
        hub = waiting()
        await connection(hub=hub).play(client >> HUB, client >> gone)
        assert hub.gate is not None
        hub.gate.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert hub.said == [("closed", False)]

    async def test_one_that_opens_while_the_connection_closes_is_told_once(self) -> None:
        hub = waiting()
        assert hub.gate is not None
        transcript = connection(hub=hub)
        await transcript.play(client >> HUB)
        hub.gate.set_result(None)
        transcript.connection.data_received(b"\0")
        await transcript.play(server << closed)
        assert hub.said == [("closed", False)]


class TestDeadlines:
    async def test_no_connect_within_20_seconds(self) -> None:
        timers = HandLoop()
        transcript = connection(timers=timers)
        timers.advance(19.9)
        await transcript.play()
        timers.advance(20)
        await transcript.play(server << closed)

    async def test_bytes_without_a_packet_buy_no_time(self) -> None:
        timers = HandLoop()
        transcript = connection(timers=timers)
        data = mqtt.encode(HUB)
        for at in range(19):
            timers.advance(at)
            transcript.connection.data_received(data[at : at + 1])
        timers.advance(20)
        await transcript.play(server << closed)

    async def test_an_opener_that_never_answers(self) -> None:
        timers = HandLoop()
        transcript = connection(hub=waiting(), timers=timers)
        timers.advance(10)
        await transcript.play(client >> HUB)
        timers.advance(29.9)
        await transcript.play()
        timers.advance(30)
        await transcript.play(server << closed)

    @pytest.mark.parametrize("keep_alive_s", [4, 60])
    async def test_one_and_a_half_keep_alives_of_silence(self, keep_alive_s: int) -> None:
        timers = HandLoop()
        hub = Door()
        transcript = connection(hub=hub, timers=timers)
        await transcript.play(
            client >> Connect("dev", HUB.user_name, keep_alive_s=keep_alive_s), server << ConnAck(False, 0)
        )
        timers.advance(keep_alive_s)
        await transcript.play(client >> PingReq(), server << PingResp())
        timers.advance(2.5 * keep_alive_s - 0.1)
        await transcript.play()
        timers.advance(2.5 * keep_alive_s)
        await transcript.play(server << closed)
        assert hub.said == [("closed", False)]

    async def test_without_keep_alive_dps_closes_after_five_minutes(self) -> None:
        timers = HandLoop()
        transcript = connection(timers=timers)
        await transcript.play(client >> Connect("dev", DPS.user_name), server << ConnAck(False, 0))
        timers.advance(299)
        await transcript.play()
        timers.advance(300)
        await transcript.play(server << closed)

    async def test_without_keep_alive_a_hub_waits_for_ever(self) -> None:
        timers = HandLoop()
        transcript = connection(timers=timers)
        await transcript.play(client >> HUB, server << ConnAck(False, 0))
        timers.advance(1_000_000)
        await transcript.play(client >> PingReq(), server << PingResp())

    async def test_packets_cost_no_timers(self) -> None:
        timers = HandLoop()
        transcript = connection(timers=timers)
        await transcript.play(client >> DPS, server << ConnAck(False, 0))
        for at in range(1, 11):
            timers.advance(at)
            await transcript.play(client >> PingReq(), server << PingResp())
        assert len(timers.handles) == 1

    async def test_nothing_is_due_after_the_end(self) -> None:
        timers = HandLoop()
        transcript = connection(timers=timers)
        await transcript.play(client >> DPS, server << ConnAck(False, 0), client >> gone)
        assert all(handle.cancelled() for handle in timers.handles)


class TestBackpressure:
    async def test_a_peer_that_does_not_read_is_not_read_from(self) -> None:
        transcript = connection()
        await transcript.play(client >> HUB, server << ConnAck(False, 0))
        transcript.connection.pause_writing()
        assert not transcript.transport.reading
        transcript.connection.resume_writing()
        assert transcript.transport.reading

    async def test_reading_waits_for_both_the_peer_and_the_connack(self) -> None:
        hub = waiting()
        transcript = connection(hub=hub)
        await transcript.play(client >> HUB)
        transcript.connection.pause_writing()
        transcript.connection.resume_writing()
        assert not transcript.transport.reading

    async def test_what_is_queued_for_it_is_bounded(self) -> None:
        hub = Door()
        transcript = connection(hub=hub)
        await transcript.play(client >> HUB, server << ConnAck(False, 0))
        link = hub.opened[0].link
        transcript.connection.pause_writing()
        for _ in range(MAX_UNREAD_BYTES // 1024 - 8):
            link.send("t", b"x" * 1024, 0)
        assert not transcript.transport.aborted
        for _ in range(9):
            link.send("t", b"x" * 1024, 0)
        assert transcript.transport.aborted


class TestDrain:
    async def test_a_connection_without_work_in_hand_closes(self) -> None:
        hub = Door()
        transcript = connection(hub=hub)
        await transcript.play(client >> HUB, server << ConnAck(False, 0))
        transcript.connection.drain()
        await transcript.play(server << closed)
        assert hub.said == [("closed", False)]

    async def test_a_conversation_that_drains_itself_is_asked_to(self) -> None:
        hub = Door(kind=Resumed)
        transcript = connection(hub=hub)
        await transcript.play(client >> HUB, server << ConnAck(True, 0))
        transcript.connection.drain()
        assert hub.said == ["drain"]
        await transcript.play()

    async def test_before_the_connect(self) -> None:
        transcript = connection()
        transcript.connection.drain()
        await transcript.play(server << closed)


async def test_over_a_real_socket() -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: MqttConnection(Door(), Door()), "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    for packet in (HUB, Publish("t", b"x" * 200_000, 1, 7), Disconnect()):
        writer.write(mqtt.encode(packet))
    stream = await reader.read()
    heard = mqtt.Decoder(max_packet_bytes=1 << 20).feed(stream)
    assert heard == [ConnAck(False, 0), PubAck(7), Publish("t", b"x" * 200_000, 1, 1)]
    writer.close()
    await writer.wait_closed()
    listening.close()
    await listening.wait_closed()
