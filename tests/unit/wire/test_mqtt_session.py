"""What the server makes of each packet at each point, and its deadlines as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire import mqtt
from accredit.wire.mqtt_session import MAX_CLIENT_ID_CHARS, Patience, Session, Step

PATIENCE = Patience(connect_s=20, keep_alive_cap_s=1767, idle_s=300)
CONNECT = mqtt.Connect("dev", "scope/registrations/dev/")
FROM_CLIENTS = (
    mqtt.Publish("t", b""),
    mqtt.Subscribe(1, (("t", 0),)),
    mqtt.Unsubscribe(1, ("t",)),
    mqtt.PubAck(1),
    mqtt.PingReq(),
    mqtt.Disconnect(),
)
FROM_SERVERS = (mqtt.ConnAck(False, 0), mqtt.SubAck(1, (0,)), mqtt.UnsubAck(1), mqtt.PingResp())


def opened(connect: mqtt.Connect = CONNECT, patience: Patience = PATIENCE) -> Session:
    session = Session(0, PATIENCE)
    assert session.receive(connect, 0) is Step.OPEN
    session.opened(patience, 0)
    return session


class TestConnectComesFirst:
    """3.1.0-1."""

    @pytest.mark.parametrize("packet", FROM_CLIENTS + FROM_SERVERS)
    def test_anything_else_is_a_breach(self, packet: mqtt.Packet) -> None:
        with pytest.raises(mqtt.ProtocolViolation, match="first packet"):
            Session(0, PATIENCE).receive(packet, 0)


class TestConnectComesOnce:
    """3.1.0-2."""

    def test_before_its_answer(self) -> None:
        session = Session(0, PATIENCE)
        session.receive(CONNECT, 0)
        with pytest.raises(mqtt.ProtocolViolation, match="second CONNECT"):
            session.receive(CONNECT, 0)

    def test_after_its_answer(self) -> None:
        with pytest.raises(mqtt.ProtocolViolation, match="second CONNECT"):
            opened().receive(CONNECT, 1)


class TestRefusedByAnyone:
    """3.2.2.3."""

    @pytest.mark.parametrize(
        ("connect", "code"),
        [
            (mqtt.Connect("", level=5), 1),
            (mqtt.Connect("", level=3), 1),
            (mqtt.Connect("", "u"), 2),
            (mqtt.Connect("d" * (MAX_CLIENT_ID_CHARS + 1), "u"), 2),
            (mqtt.Connect("dev"), 4),
        ],
    )
    def test_with_its_code(self, connect: mqtt.Connect, code: int) -> None:
        session = Session(0, PATIENCE)
        assert session.receive(connect, 0) is Step.REFUSE
        assert session.refusal == code
        assert session.receive(mqtt.PingReq(), 0) is Step.IGNORE

    def test_the_longest_client_id_is_not(self) -> None:
        connect = mqtt.Connect("d" * MAX_CLIENT_ID_CHARS, "u")
        assert Session(0, PATIENCE).receive(connect, 0) is Step.OPEN


class TestWhileOpening:
    @pytest.mark.parametrize("packet", FROM_CLIENTS)
    def test_packets_are_held(self, packet: mqtt.Packet) -> None:
        session = Session(0, PATIENCE)
        session.receive(CONNECT, 0)
        assert session.receive(packet, 0) is Step.HOLD

    def test_held_packets_buy_no_time(self) -> None:
        session = Session(0, PATIENCE)
        session.receive(CONNECT, 15)
        session.receive(mqtt.PingReq(), 30)
        assert session.deadline_at == 35


class TestOpen:
    @pytest.mark.parametrize(
        ("packet", "step"),
        list(zip(FROM_CLIENTS, [Step.DELIVER] * 4 + [Step.PONG, Step.LEAVE], strict=True)),
    )
    def test_each_packet_has_its_step(self, packet: mqtt.Packet, step: Step) -> None:
        assert opened().receive(packet, 0) is step

    @pytest.mark.parametrize("packet", FROM_SERVERS)
    def test_a_servers_packet_is_a_breach(self, packet: mqtt.Packet) -> None:
        with pytest.raises(mqtt.ProtocolViolation, match="only a server"):
            opened().receive(packet, 0)

    def test_nothing_counts_after_disconnect(self) -> None:
        session = opened()
        session.receive(mqtt.Disconnect(), 0)
        assert session.receive(mqtt.Publish("t", b""), 0) is Step.IGNORE


class TestDeadlines:
    def test_a_connect_is_due_in_time(self) -> None:
        assert Session(100, PATIENCE).deadline_at == 120

    @given(st.integers(1, 0xFFFF), st.floats(0, 1e6))
    def test_one_and_a_half_keep_alives_after_each_packet(self, keep_alive_s: int, now: float) -> None:
        session = opened(mqtt.Connect("dev", "u", keep_alive_s=keep_alive_s))
        session.receive(mqtt.PingReq(), now)
        assert session.deadline_at == now + min(1.5 * keep_alive_s, 1767)

    def test_without_keep_alive_the_patience_of_the_service_counts(self) -> None:
        assert opened().deadline_at == 300
        assert opened(patience=Patience(idle_s=None)).deadline_at is None

    def test_a_slow_opening_does_not_use_up_the_keep_alive(self) -> None:
        session = Session(0, PATIENCE)
        session.receive(mqtt.Connect("dev", "u", keep_alive_s=4), 0)
        session.opened(PATIENCE, 15)
        assert session.deadline_at == 21
