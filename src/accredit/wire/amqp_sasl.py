"""SASL before AMQP: its frames, both roles, and what PLAIN's response says.

    8 bytes of protocol header, then frames:  size (4)  doff (1)  type 1 (1)  unused (2)  [extended header]  performative

AMQP itself is Qpid Proton's engine; the SASL layer is ours because DPS has a mechanism of its own (`TPM`), and because a
peer that has proven nothing must not reach more code than it takes to say who it is. Not here: which mechanisms are
offered, and what a mechanism's words are worth.

AMQP 1.0 part 5.3; RFC 4616 (PLAIN).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from accredit.values import dataclass
from accredit.wire import amqp_types
from accredit.wire.amqp_types import AmqpError, Reader

SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"

MAX_FRAME_BYTES = 8 * 1024
"""AMQP 1.0 allows 512 before SASL has ended; a SAS token over a long id, or a TPM's endorsement key, may need more."""

_HEADER_BYTES = 8
_SASL_TYPE = 1

OK, AUTH, SYS, SYS_PERM, SYS_TEMP = range(5)
"""Codes of an outcome; the SDKs take AUTH for a wrong credential and SYS_TEMP for "try later"."""


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """What the server offers."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Init:
    """What the client chose, and what it says at once. DPS clients put the registration's path into `hostname`."""

    mechanism: str
    initial_response: bytes | None = None
    hostname: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    data: bytes


@dataclass(frozen=True, slots=True)
class Response:
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int


Frame = Mechanisms | Init | Challenge | Response | Outcome

_MECHANISMS, _INIT, _CHALLENGE, _RESPONSE, _OUTCOME = range(0x40, 0x45)
_DESCRIPTORS = {
    "amqp:sasl-mechanisms:list": _MECHANISMS,
    "amqp:sasl-init:list": _INIT,
    "amqp:sasl-challenge:list": _CHALLENGE,
    "amqp:sasl-response:list": _RESPONSE,
    "amqp:sasl-outcome:list": _OUTCOME,
}


def encode(frame: Frame) -> bytes:
    code, *fields = _fields(frame)
    body = amqp_types.described(code, amqp_types.sequence(*fields))
    return (_HEADER_BYTES + len(body)).to_bytes(4, "big") + b"\x02\x01\x00\x00" + body


def _fields(frame: Frame) -> tuple[int, *tuple[bytes, ...]]:
    match frame:
        case Mechanisms(names):
            return _MECHANISMS, amqp_types.symbols(*names)
        case Init(mechanism, initial_response, hostname):
            said = amqp_types.NULL if initial_response is None else amqp_types.binary(initial_response)
            host = amqp_types.NULL if hostname is None else amqp_types.string(hostname)
            return _INIT, amqp_types.symbol(mechanism), said, host
        case Challenge(data):
            return _CHALLENGE, amqp_types.binary(data)
        case Response(data):
            return _RESPONSE, amqp_types.binary(data)
        case Outcome(code):
            return _OUTCOME, amqp_types.ubyte(code)
        case _:
            assert_never(frame)


class Decoder:
    """Bytes to frames. The bytes behind the last frame of the layer are the next protocol's: `rest` hands them over."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now, one at a time: who stops at one leaves the bytes behind it to `rest`.

        Raises AmqpError at the first that is none.
        """
        self._buffer += data
        return iter(self._next, None)

    @property
    def held_bytes(self) -> int:
        return len(self._buffer)

    def rest(self) -> bytes:
        """What has come and was not a frame's."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < _HEADER_BYTES:
            return None
        size, offset = int.from_bytes(buffer[:4], "big"), buffer[4] * 4
        if size > self._max_frame_bytes:
            raise AmqpError(f"a SASL frame of {size} bytes")
        if buffer[5] != _SASL_TYPE or not _HEADER_BYTES <= offset <= size:
            raise AmqpError("a frame that is not of SASL")
        if len(buffer) < size:
            return None
        body = bytes(buffer[offset:size])
        del buffer[:size]
        return _frame(body)


def _frame(body: bytes) -> Frame:
    reader = Reader(body)
    descriptor, fields = reader.descriptor(), reader.value()
    if reader.more or not isinstance(fields, list):
        raise AmqpError("a frame that is not of SASL")
    match _DESCRIPTORS.get(descriptor, descriptor), fields:
        case 0x41, [str(mechanism), *rest]:
            return Init(mechanism, *_init(rest))
        case 0x42, [bytes(data), *_]:
            return Challenge(data)
        case 0x43, [bytes(data), *_]:
            return Response(data)
        case 0x44, [int(code), *_]:
            return Outcome(code)
        case 0x40, [list(names), *_] if all(isinstance(name, str) for name in names):
            return Mechanisms(tuple(map(str, names)))
        case 0x40, [str(name), *_]:
            # One symbol may stand for an array of one (AMQP 1.0, 1.4: multiple).
            return Mechanisms((str(name),))
        case _:
            raise AmqpError("a SASL frame without what it must say")


def _init(rest: list[object]) -> tuple[bytes | None, str | None]:
    response, hostname = (*rest, None, None)[:2]
    if not (response is None or isinstance(response, bytes)) or not (
        hostname is None or isinstance(hostname, str)
    ):
        raise AmqpError("a SASL init with fields of the wrong type")
    return response, hostname


def plain(user: str, password: str) -> bytes:
    """PLAIN's response, without an authorization identity."""
    return b"\x00" + user.encode() + b"\x00" + password.encode()


def parse_plain(response: bytes) -> tuple[str, str]:
    """User and password; the authorization identity is passed over. Raises AmqpError."""
    parts = response.split(b"\x00")
    if len(parts) != 3:
        raise AmqpError("a PLAIN response that is not of three parts")
    try:
        return parts[1].decode(), parts[2].decode()
    except UnicodeDecodeError:
        raise AmqpError("a PLAIN response that is not UTF-8") from None
