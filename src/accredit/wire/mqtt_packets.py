"""MQTT 3.1.1 packets as frozen values that encode themselves, of both roles.

Not here: reading packets (`mqtt.py`, which gives these names out as well) and what is legal when (`mqtt_session.py`).
The packets of QoS 2 have no values: the services that speak this wire refuse it.

MQTT 3.1.1 (OASIS, 2014), section 3; the docstrings name the sections.
"""

from __future__ import annotations

import dataclasses

from accredit.values import dataclass

FAILURE = 0x80
"""SUBACK return code of a refused filter (3.9.3)."""

LEVEL = 4
"""The protocol level of MQTT 3.1.1 (3.1.2.2)."""


class ProtocolViolation(Exception):
    """The peer broke MQTT: the connection must end. `before` are the packets that came whole ahead of the breach."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.before: list[Packet] = []


# Packets.


@dataclass(frozen=True, slots=True)
class Will:
    """What the server publishes for a client that is lost without a DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Connect:
    """3.1. Of a protocol level other than 4 only `level` is read: the answer to such a packet is CONNACK 1."""

    client_id: str
    user_name: str | None = None
    password: bytes | None = dataclasses.field(default=None, repr=False)
    clean_session: bool = True
    keep_alive_s: int = 0
    will: Will | None = None
    level: int = LEVEL

    def encode(self) -> bytes:
        flags = 0x02 if self.clean_session else 0
        fields = [_text(self.client_id)]
        if self.will is not None:
            flags |= 0x04 | self.will.qos << 3 | (0x20 if self.will.retain else 0)
            fields += (_text(self.will.topic), _binary(self.will.payload))
        if self.user_name is not None:
            flags |= 0x80
            fields.append(_text(self.user_name))
        if self.password is not None:
            flags |= 0x40
            fields.append(_binary(self.password))
        head = b"\x00\x04MQTT%c%c%b" % (self.level, flags, self.keep_alive_s.to_bytes(2, "big"))
        return _framed(0x10, head + b"".join(fields))


@dataclass(frozen=True, slots=True)
class ConnAck:
    """3.2. `code` 0 accepts."""

    session_present: bool
    code: int

    def encode(self) -> bytes:
        return bytes((0x20, 2, self.session_present, self.code))


@dataclass(frozen=True, slots=True)
class Publish:
    """3.3. `packet_id` is there exactly when `qos` is 1."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int | None = None
    retain: bool = False
    dup: bool = False

    def encode(self) -> bytes:
        first = 0x30 | self.qos << 1 | (1 if self.retain else 0) | (8 if self.dup else 0)
        topic = self.topic.encode()
        packet_id = b"" if self.packet_id is None else self.packet_id.to_bytes(2, "big")
        return _framed(first, b"%b%b%b%b" % (len(topic).to_bytes(2, "big"), topic, packet_id, self.payload))


@dataclass(frozen=True, slots=True)
class PubAck:
    """3.4."""

    packet_id: int

    def encode(self) -> bytes:
        return b"\x40\x02" + self.packet_id.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Subscribe:
    """3.8. `filters` are (topic filter, requested QoS)."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]

    def encode(self) -> bytes:
        asked = b"".join(b"%b%c" % (_text(name), qos) for name, qos in self.filters)
        return _framed(0x82, self.packet_id.to_bytes(2, "big") + asked)


@dataclass(frozen=True, slots=True)
class SubAck:
    """3.9. One granted QoS, or FAILURE, for each filter in order."""

    packet_id: int
    codes: tuple[int, ...]

    def encode(self) -> bytes:
        return _framed(0x90, self.packet_id.to_bytes(2, "big") + bytes(self.codes))


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """3.10."""

    packet_id: int
    filters: tuple[str, ...]

    def encode(self) -> bytes:
        return _framed(0xA2, self.packet_id.to_bytes(2, "big") + b"".join(map(_text, self.filters)))


@dataclass(frozen=True, slots=True)
class UnsubAck:
    """3.11."""

    packet_id: int

    def encode(self) -> bytes:
        return b"\xb0\x02" + self.packet_id.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class PingReq:
    """3.12."""

    def encode(self) -> bytes:
        return b"\xc0\x00"


@dataclass(frozen=True, slots=True)
class PingResp:
    """3.13."""

    def encode(self) -> bytes:
        return b"\xd0\x00"


@dataclass(frozen=True, slots=True)
class Disconnect:
    """3.14."""

    def encode(self) -> bytes:
        return b"\xe0\x00"


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
)


def encode(packet: Packet) -> bytes:
    """The packet's bytes; its values must lie in their fields' ranges."""
    return packet.encode()


def _text(text: str) -> bytes:
    return _binary(text.encode())


def _binary(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _framed(first: int, body: bytes) -> bytes:
    length = len(body)
    if length < 0x80:
        return b"%c%c%b" % (first, length, body)
    if length < 0x4000:
        return b"%c%c%c%b" % (first, length & 0x7F | 0x80, length >> 7, body)
    digits = bytearray((first,))
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits) + body
