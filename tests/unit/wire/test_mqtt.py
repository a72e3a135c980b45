"""MQTT 3.1.1 packets from bytes: what is read, what is refused, in any chunking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire import mqtt
from accredit.wire.mqtt import (
    ConnAck,
    Connect,
    Decoder,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    ProtocolViolation,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)

LARGE = 1 << 20

strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
payloads = st.binary(max_size=300)
ids = st.integers(1, 0xFFFF)
wills = st.builds(Will, names, payloads, st.integers(0, 2), st.booleans())


@st.composite
def connects(draw: st.DrawFn) -> Connect:
    user_name = draw(st.none() | strings)
    password = None if user_name is None else draw(st.none() | payloads)
    return Connect(
        draw(strings),
        user_name,
        password,
        draw(st.booleans()),
        draw(st.integers(0, 0xFFFF)),
        draw(st.none() | wills),
    )


publishes = st.builds(Publish, names, payloads, retain=st.booleans()) | st.builds(
    Publish, names, payloads, st.just(1), ids, st.booleans(), st.booleans()
)
packets: st.SearchStrategy[Packet] = st.one_of(
    connects(),
    publishes,
    st.builds(ConnAck, st.booleans(), st.integers(0, 255)),
    st.builds(PubAck, ids),
    st.builds(
        Subscribe, ids, st.lists(st.tuples(names, st.integers(0, 2)), min_size=1, max_size=5).map(tuple)
    ),
    st.builds(
        SubAck, ids, st.lists(st.sampled_from((0, 1, 2, mqtt.FAILURE)), min_size=1, max_size=5).map(tuple)
    ),
    st.builds(Unsubscribe, ids, st.lists(names, min_size=1, max_size=5).map(tuple)),
    st.builds(UnsubAck, ids),
    st.builds(PingReq),
    st.builds(PingResp),
    st.builds(Disconnect),
)


def decoder(**limits: int) -> Decoder:
    return Decoder(**{"max_packet_bytes": LARGE, **limits})


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def outcome(chunks: list[bytes], **limits: int) -> tuple[list[Packet], str | None]:
    """What a whole stream gives: the packets, and the reason of the breach that ended it."""
    reading = decoder(**limits)
    read: list[Packet] = []
    for chunk in chunks:
        try:
            read += reading.feed(chunk)
        except ProtocolViolation as violation:
            return read + violation.before, violation.reason
    return read, None


def refusal(data: bytes, **limits: int) -> str:
    with pytest.raises(ProtocolViolation) as caught:
        decoder(**limits).feed(data)
    return caught.value.reason


class TestProperties:
    @given(st.lists(packets, max_size=6), st.lists(st.integers(0, 5000), max_size=8))
    def test_packets_survive_encoding_and_any_chunking(self, said: list[Packet], cuts: list[int]) -> None:
        stream = b"".join(map(mqtt.encode, said))
        assert outcome(chunked(stream, cuts)) == (said, None)

    @given(
        st.lists(packets.map(mqtt.encode) | st.binary(max_size=8), max_size=5),
        st.lists(st.integers(0, 2000), max_size=8),
    )
    def test_any_bytes_are_read_or_refused_alike_in_any_chunking(
        self, parts: list[bytes], cuts: list[int]
    ) -> None:
        stream = b"".join(parts)
        limits = {"max_packet_bytes": 200, "max_first_packet_bytes": 100}
        whole = outcome([stream], **limits)
        assert outcome(chunked(stream, cuts), **limits) == whole
        assert outcome([stream[at : at + 1] for at in range(len(stream))], **limits) == whole

    @given(st.binary(max_size=400))
    def test_what_is_read_of_any_bytes_can_be_written_again(self, data: bytes) -> None:
        read, _ = outcome([data])
        for packet in read:
            if not isinstance(packet, Connect) or packet.level == mqtt.LEVEL:
                assert decoder().feed(mqtt.encode(packet)) == [packet]


class TestVectors:
    """Bytes written out by hand from the tables of section 3."""

    @pytest.mark.parametrize(
        ("data", "packet"),
        [
            # Figure 3.6, "Variable header non normative example", with a payload to match its flags.
            (
                b"\x10\x19\0\x04MQTT\x04\xce\0\x0a\0\x01c\0\x01t\0\x01w\0\x01u\0\x01p",
                Connect("c", "u", b"p", True, 10, Will("t", b"w", 1, False)),
            ),
            (b"\x20\x02\x00\x05", ConnAck(False, 5)),
            (b"\x20\x02\x01\x00", ConnAck(True, 0)),
            (b"\x30\x05\0\x03a/b", Publish("a/b", b"")),
            (b"\x3b\x08\0\x03a/b\0\x0a!", Publish("a/b", b"!", 1, 10, True, True)),
            (b"\x40\x02\x12\x34", PubAck(0x1234)),
            (b"\x82\x0e\0\x0a\0\x03a/b\x01\0\x03c/d\x02", Subscribe(10, (("a/b", 1), ("c/d", 2)))),
            (b"\x90\x05\0\x0a\0\x02\x80", SubAck(10, (0, 2, 0x80))),
            (b"\xa2\x0c\0\x0a\0\x03a/b\0\x03c/d", Unsubscribe(10, ("a/b", "c/d"))),
            (b"\xb0\x02\0\x0a", UnsubAck(10)),
            (b"\xc0\0", PingReq()),
            (b"\xd0\0", PingResp()),
            (b"\xe0\0", Disconnect()),
        ],
    )
    def test_reads_and_writes_the_bytes_of_the_specification(self, data: bytes, packet: Packet) -> None:
        assert decoder().feed(data) == [packet]
        assert mqtt.encode(packet) == data

    def test_a_password_is_not_shown(self) -> None:
        assert "hunter2" not in repr(Connect("d", "u", b"hunter2"))

    @pytest.mark.parametrize("length", [0, 127 - 3, 128 - 3, 16383 - 3, 16384 - 3, 2097151 - 3, 2097152 - 3])
    def test_the_remaining_length_of_each_size(self, length: int) -> None:
        packet = Publish("t", b"x" * length)
        data = mqtt.encode(packet)
        assert Decoder(max_packet_bytes=len(data)).feed(data) == [packet]

    @pytest.mark.parametrize(
        ("protocol", "level", "told"),
        [(b"\0\x04MQTT", 3, 3), (b"\0\x04MQTT", 5, 5), (b"\0\x06MQIsdp", 3, 3), (b"\0\x06MQIsdp", 4, 3)],
    )
    def test_another_protocol_level_is_told_and_not_read(
        self, protocol: bytes, level: int, told: int
    ) -> None:
        body = protocol + bytes((level,)) + b"\x02\0\0\xff whatever follows there"
        (packet,) = decoder().feed(bytes((0x10, len(body))) + body)
        assert isinstance(packet, Connect)
        assert packet.level == told


def connect(flags: int, payload: bytes) -> bytes:
    body = b"\0\x04MQTT\x04" + bytes((flags,)) + b"\0\0" + payload
    return bytes((0x10, len(body))) + body


class TestRefusals:
    @pytest.mark.parametrize(
        "data",
        [
            b"\x00\x00",
            b"\xf0\x00",
            b"\x11\x00",
            b"\x41\x02\0\x01",
            b"\x80\x05\0\x01\0\x01a\0",
            b"\x83\x05\0\x01\0\x01a\0",
            b"\xa0\x05\0\x01\0\x01a",
            b"\xc1\0",
            b"\xe1\0",
        ],
    )
    def test_unknown_types_and_wrong_flags(self, data: bytes) -> None:
        """2.2.2: where a flag bit is marked Reserved it must have the value given there."""
        assert refusal(data) == "an unknown packet type or flags"
        assert refusal(data[:1]) == "an unknown packet type or flags"

    @pytest.mark.parametrize(
        "data", [b"\x34\x05\0\x01t\0\x01", b"\x50\x02\0\x01", b"\x62\x02\0\x01", b"\x70\x02\0\x01"]
    )
    def test_qos_2_and_its_packets(self, data: bytes) -> None:
        assert refusal(data) == "QoS 2"

    def test_qos_3(self) -> None:
        assert refusal(b"\x36\x05\0\x01t\0\x01") == "QoS 3"

    def test_a_duplicate_of_qos_0(self) -> None:
        assert "duplicate" in refusal(b"\x38\x03\0\x01t")

    @pytest.mark.parametrize("data", [b"\x30\xff\xff\xff\xff", b"\x30\x80\x80\x80\x80\x01"])
    def test_a_remaining_length_of_more_than_four_bytes(self, data: bytes) -> None:
        assert refusal(data) == "a malformed remaining length"

    @pytest.mark.parametrize(
        "data",
        [
            b"\x30\x02\0\x05",
            b"\x30\x01\0",
            b"\x10\x06\0\x09MQTT",
            b"\x82\x04\0\x01\0\x05",
            connect(0x80, b"\0\x01d\0\x09u"),
        ],
    )
    def test_fields_that_end_beyond_their_packet(self, data: bytes) -> None:
        assert refusal(data + b"\xc0\0" * 20) == "a field ends beyond its packet"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"\xff", "a string is not UTF-8"),
            (b"\xed\xa0\x80", "a string is not UTF-8"),
            (b"\xc0\x80", "a string is not UTF-8"),
            (b"a\0b", "a string holds U+0000"),
        ],
    )
    def test_strings_that_are_none(self, text: bytes, reason: str) -> None:
        """1.5.3: ill-formed UTF-8, surrogates and U+0000."""
        body = len(text).to_bytes(2, "big") + text
        assert refusal(bytes((0x30, len(body))) + body) == reason

    @pytest.mark.parametrize("data", [b"\x32\x05\0\x01t\0\0", b"\x40\x02\0\0", b"\x82\x06\0\0\0\x01a\0"])
    def test_packet_id_0(self, data: bytes) -> None:
        assert refusal(data) == "packet id 0"

    @pytest.mark.parametrize("data", [b"\x32\x03\0\x01t", b"\x82\0", b"\xa2\x01\0"])
    def test_no_packet_id(self, data: bytes) -> None:
        assert refusal(data) == "no packet id"

    @pytest.mark.parametrize("data", [b"\x30\x02\0\0", b"\x82\x05\0\x01\0\0\0", b"\xa2\x04\0\x01\0\0"])
    def test_an_empty_topic(self, data: bytes) -> None:
        assert refusal(data) == "an empty topic"

    @pytest.mark.parametrize("data", [b"\x82\x02\0\x01", b"\xa2\x02\0\x01"])
    def test_no_filter(self, data: bytes) -> None:
        assert "without a filter" in refusal(data)

    @pytest.mark.parametrize(
        "data", [b"\x82\x06\0\x01\0\x01a\x03", b"\x82\x05\0\x01\0\x01a", b"\x82\x06\0\x01\0\x01a\x41"]
    )
    def test_a_filter_without_a_valid_qos(self, data: bytes) -> None:
        assert refusal(data) == "a filter without a valid QoS"

    def test_more_filters_than_allowed(self) -> None:
        many = tuple(f"t{n}" for n in range(mqtt.MAX_FILTERS + 1))
        assert refusal(mqtt.encode(Unsubscribe(1, many))) == "too many topic filters"
        assert (
            refusal(mqtt.encode(Subscribe(1, tuple((name, 0) for name in many)))) == "too many topic filters"
        )
        allowed = Unsubscribe(1, many[:-1])
        assert decoder().feed(mqtt.encode(allowed)) == [allowed]

    @pytest.mark.parametrize(
        ("flags", "payload", "reason"),
        [
            (0x03, b"\0\x01d", "a reserved CONNECT flag is set"),
            (0x08, b"\0\x01d", "impossible will flags"),
            (0x20, b"\0\x01d", "impossible will flags"),
            (0x1C, b"\0\x01d\0\x01t\0\0", "impossible will flags"),
            (0x40, b"\0\x01d\0\x01p", "a password without a user name"),
            (0x02, b"\0\x01d!", "bytes after the end of CONNECT"),
        ],
    )
    def test_connects_that_contradict_themselves(self, flags: int, payload: bytes, reason: str) -> None:
        """3.1.2.3 to 3.1.2.9."""
        assert refusal(connect(flags, payload)) == reason

    @pytest.mark.parametrize(
        "data", [b"\x10\x07\0\x04HTTP\x04", b"\x10\x06\0\x04MQTT", b"\x10\x00", b"\x10\x08\0\x04MQTT\x04\x02"]
    )
    def test_connects_that_are_none(self, data: bytes) -> None:
        refusal(data)

    @pytest.mark.parametrize(
        "data",
        [
            b"\x20\x01\0",
            b"\x20\x02\x02\0",
            b"\x90\x02\0\x01",
            b"\x90\x03\0\x01\x03",
            b"\x40\x03\0\x01\0",
            b"\xb0\x01\0",
            b"\xc0\x01\0",
            b"\xd0\x01\0",
            b"\xe0\x01\0",
        ],
    )
    def test_packets_of_a_fixed_form_in_another(self, data: bytes) -> None:
        refusal(data)

    def test_what_came_before_the_breach_is_kept(self) -> None:
        with pytest.raises(ProtocolViolation) as caught:
            decoder().feed(b"\xc0\0\xe0\0\x00\x00")
        assert caught.value.before == [PingReq(), Disconnect()]


class TestLimits:
    def test_a_giant_is_refused_from_its_length(self) -> None:
        reading = decoder(max_packet_bytes=1000)
        assert refusal(mqtt.encode(Publish("t", b"x" * 1000))[:5], max_packet_bytes=1000) == (
            "a packet larger than allowed"
        )
        fits = Publish("t", b"x" * (1000 - 6))
        assert reading.feed(mqtt.encode(fits)) == [fits]

    def test_the_first_packet_has_a_limit_of_its_own(self) -> None:
        packet = Publish("t", b"x" * 500)
        limits = {"max_packet_bytes": 1000, "max_first_packet_bytes": 100}
        assert refusal(mqtt.encode(packet), **limits) == "a packet larger than allowed"
        assert outcome([b"\xc0\0" + mqtt.encode(packet)], **limits) == ([PingReq(), packet], None)

    def test_the_limit_may_be_lowered_between_packets(self) -> None:
        reading = decoder()
        assert reading.feed(b"\xc0\0") == [PingReq()]
        reading.max_packet_bytes = 50
        with pytest.raises(ProtocolViolation, match="larger"):
            reading.feed(mqtt.encode(Publish("t", b"x" * 60))[:2])
