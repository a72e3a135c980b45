"""MQTT 3.1.1 read from bytes: a decoder that takes any chunking and yields packets, whichever end sent them.

Not here: the packets themselves and their encoding (`mqtt_packets.py`, whose names this module gives out), which packet
is legal when (`mqtt_session.py`), what a topic means (`topics.py`).

MQTT 3.1.1 (OASIS, 2014), sections 2 and 3. QoS 2 is recognised and refused. One deviation: a topic name may hold
wildcards, which 3.3.2.1 forbids: C devices write property bags into topics unencoded, and nothing here matches a topic
name against a filter.
"""

from __future__ import annotations

from collections.abc import Callable

from accredit.wire.mqtt_packets import (
    FAILURE,
    LEVEL,
    ConnAck,
    Connect,
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
    encode,
)

__all__ = [
    "FAILURE",
    "LEVEL",
    "MAX_FILTERS",
    "ConnAck",
    "Connect",
    "Decoder",
    "Disconnect",
    "Packet",
    "PingReq",
    "PingResp",
    "ProtocolViolation",
    "PubAck",
    "Publish",
    "SubAck",
    "Subscribe",
    "UnsubAck",
    "Unsubscribe",
    "Will",
    "encode",
]

MAX_FILTERS = 64
"""The most topic filters that one SUBSCRIBE or UNSUBSCRIBE may carry."""

_PROTOCOL = b"\0\x04MQTT\x04"
_PROTOCOL_NAMES = (b"MQTT", b"MQIsdp")
_LEVEL_OF_MQISDP = 3

# Bodies. Each reads `data[at:end]`, where a packet's body lies, and raises ProtocolViolation.


def _string(data: bytes, at: int, end: int) -> tuple[str, int]:
    value, at = _field(data, at, end)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation("a string is not UTF-8") from None
    if "\0" in text:
        raise ProtocolViolation("a string holds U+0000")
    return text, at


def _field(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    start = at + 2
    if start <= end:
        stop = start + (data[at] << 8 | data[at + 1])
        if stop <= end:
            return data[start:stop], stop
    raise ProtocolViolation("a field ends beyond its packet")


def _name(data: bytes, at: int, end: int) -> tuple[str, int]:
    text, at = _string(data, at, end)
    if not text:
        raise ProtocolViolation("an empty topic")
    return text, at


def _packet_id(data: bytes, at: int, end: int) -> int:
    if at + 2 > end:
        raise ProtocolViolation("no packet id")
    packet_id = data[at] << 8 | data[at + 1]
    if not packet_id:
        raise ProtocolViolation("packet id 0")
    return packet_id


def _connect(_flags: int, data: bytes, at: int, end: int) -> Connect:
    if not data.startswith(_PROTOCOL, at):
        return _other_protocol(data, at, end)
    at += len(_PROTOCOL)
    if at + 3 > end:
        raise ProtocolViolation("a CONNECT cut short")
    flags = data[at]
    keep_alive_s = data[at + 1] << 8 | data[at + 2]
    if flags & 0x3D or flags & 0xC0 == 0x40:
        _check_connect_flags(flags)
    client_id, at = _string(data, at + 3, end)
    will = None
    if flags & 0x04:
        topic, at = _name(data, at, end)
        payload, at = _field(data, at, end)
        will = Will(topic, payload, flags >> 3 & 3, bool(flags & 0x20))
    user_name = password = None
    if flags & 0x80:
        user_name, at = _string(data, at, end)
    if flags & 0x40:
        password, at = _field(data, at, end)
    if at != end:
        raise ProtocolViolation("bytes after the end of CONNECT")
    return Connect(client_id, user_name, password, bool(flags & 0x02), keep_alive_s, will)


def _other_protocol(data: bytes, at: int, end: int) -> Connect:
    """What a CONNECT of another version says of itself; the form of the rest is not known."""
    name, at = _field(data, at, end)
    if name not in _PROTOCOL_NAMES or at == end:
        raise ProtocolViolation("not MQTT")
    return Connect("", level=data[at] if data[at] != LEVEL else _LEVEL_OF_MQISDP)


def _check_connect_flags(flags: int) -> None:
    if flags & 0x01:
        raise ProtocolViolation("a reserved CONNECT flag is set")
    if flags & 0x18 == 0x18 or (flags & 0x38 and not flags & 0x04):
        raise ProtocolViolation("impossible will flags")
    if flags & 0xC0 == 0x40:
        raise ProtocolViolation("a password without a user name")


def _publish(flags: int, data: bytes, at: int, end: int) -> Publish:
    qos = flags >> 1 & 3
    if qos > 1:
        raise ProtocolViolation("QoS 2" if qos == 2 else "QoS 3")
    if not qos and flags & 8:
        raise ProtocolViolation("a QoS 0 PUBLISH marked as duplicate")
    topic, at = _name(data, at, end)
    packet_id = None
    if qos:
        packet_id = _packet_id(data, at, end)
        at += 2
    return Publish(topic, data[at:end], qos, packet_id, bool(flags & 1), bool(flags & 8))


def _subscribe(_flags: int, data: bytes, at: int, end: int) -> Subscribe:
    packet_id = _packet_id(data, at, end)
    at += 2
    filters = []
    while at < end:
        name, at = _name(data, at, end)
        if at == end or data[at] > 2:
            raise ProtocolViolation("a filter without a valid QoS")
        filters.append((name, data[at]))
        at += 1
        if len(filters) > MAX_FILTERS:
            raise ProtocolViolation("too many topic filters")
    if not filters:
        raise ProtocolViolation("SUBSCRIBE without a filter")
    return Subscribe(packet_id, tuple(filters))


def _unsubscribe(_flags: int, data: bytes, at: int, end: int) -> Unsubscribe:
    packet_id = _packet_id(data, at, end)
    at += 2
    filters = []
    while at < end:
        name, at = _name(data, at, end)
        filters.append(name)
        if len(filters) > MAX_FILTERS:
            raise ProtocolViolation("too many topic filters")
    if not filters:
        raise ProtocolViolation("UNSUBSCRIBE without a filter")
    return Unsubscribe(packet_id, tuple(filters))


def _connack(_flags: int, data: bytes, at: int, end: int) -> ConnAck:
    if end - at != 2 or data[at] > 1:
        raise ProtocolViolation("a malformed CONNACK")
    return ConnAck(bool(data[at]), data[at + 1])


def _suback(_flags: int, data: bytes, at: int, end: int) -> SubAck:
    packet_id = _packet_id(data, at, end)
    codes = tuple(data[at + 2 : end])
    if not codes or any(code > 2 and code != FAILURE for code in codes):
        raise ProtocolViolation("a malformed SUBACK")
    return SubAck(packet_id, codes)


def _puback(_flags: int, data: bytes, at: int, end: int) -> PubAck:
    _check_length(at, end, 2)
    return PubAck(_packet_id(data, at, end))


def _unsuback(_flags: int, data: bytes, at: int, end: int) -> UnsubAck:
    _check_length(at, end, 2)
    return UnsubAck(_packet_id(data, at, end))


def _pingreq(_flags: int, _data: bytes, at: int, end: int) -> PingReq:
    _check_length(at, end, 0)
    return PingReq()


def _pingresp(_flags: int, _data: bytes, at: int, end: int) -> PingResp:
    _check_length(at, end, 0)
    return PingResp()


def _disconnect(_flags: int, _data: bytes, at: int, end: int) -> Disconnect:
    _check_length(at, end, 0)
    return Disconnect()


def _check_length(at: int, end: int, length: int) -> None:
    if end - at != length:
        raise ProtocolViolation("a packet of the wrong length")


_Reader = Callable[[int, bytes, int, int], Packet]

# By a packet's first byte: a type with flags that it may not have is not found (2.2.2).
_READERS: dict[int, _Reader] = {
    0x10: _connect,
    0x20: _connack,
    0x40: _puback,
    0x82: _subscribe,
    0x90: _suback,
    0xA2: _unsubscribe,
    0xB0: _unsuback,
    0xC0: _pingreq,
    0xD0: _pingresp,
    0xE0: _disconnect,
    **{0x30 | flags: _publish for flags in range(16)},
}

_QOS_2_PACKETS = (0x50, 0x62, 0x70)


class Decoder:
    """Turns a byte stream into packets. After a violation it is of no further use.

    `max_packet_bytes` bounds a whole packet and may be changed between calls; `max_first_packet_bytes`, the same when
    not given, bounds the first one, which comes from somebody who has not shown who he is. A packet that is too large is
    refused from its length field, so at most one packet's bytes are ever held.
    """

    __slots__ = ("_begun", "_max_first", "_rest", "_wanted", "max_packet_bytes")

    def __init__(self, *, max_packet_bytes: int, max_first_packet_bytes: int | None = None) -> None:
        self.max_packet_bytes = max_packet_bytes
        self._max_first = max_packet_bytes if max_first_packet_bytes is None else max_first_packet_bytes
        self._begun = False
        self._rest = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that `data` completes. Raises ProtocolViolation."""
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return []
            data = bytes(rest)
            rest.clear()
        packets: list[Packet] = []
        try:
            self._read(data, packets)
        except ProtocolViolation as violation:
            violation.before = packets
            raise
        return packets

    def _read(self, data: bytes, packets: list[Packet]) -> None:
        """Append the whole packets to `packets`; keep what follows them."""
        at = 0
        size = len(data)
        while at < size:
            reader = _READERS.get(data[at])
            if reader is None:
                raise ProtocolViolation(
                    "QoS 2" if data[at] in _QOS_2_PACKETS else "an unknown packet type or flags"
                )
            body = at + 2
            if body <= size and data[at + 1] < 0x80:
                end = body + data[at + 1]
            else:
                body, end = _long_extent(data, at, size)
            if end - at > (self.max_packet_bytes if self._begun else self._max_first):
                raise ProtocolViolation("a packet larger than allowed")
            if end > size:
                self._rest += data[at:]
                self._wanted = end - at
                return
            packets.append(reader(data[at] & 0x0F, data, body, end))
            self._begun = True
            at = end


def _long_extent(data: bytes, at: int, size: int) -> tuple[int, int]:
    """Where the body of the packet at `at` begins and ends (2.2.3); one byte beyond `size` while that is unknown."""
    length = shift = 0
    for body in range(at + 1, min(size, at + 5)):
        length |= (data[body] & 0x7F) << shift
        if data[body] < 0x80:
            return body + 1, body + 1 + length
        shift += 7
    if size - at > 4:
        raise ProtocolViolation("a malformed remaining length")
    return size, size + 1
