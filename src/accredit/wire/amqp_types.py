"""AMQP's type system: encoded values to Python's and back, for SASL frames and for the sections of messages.

What comes from a peer is bounded before it is read: by the size of what holds it, by depth, and by a count of elements
that never exceeds the bytes they stand in (an array of a type without a body would otherwise be as large as it likes to
say). Encoding is a function for each type, since AMQP tells apart what Python does not. Not here: frames of AMQP itself,
which are Qpid Proton's, and what any value means.

AMQP 1.0 (OASIS), part 1; decimals, which no client of ours sends, are kept as their bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from accredit.values import dataclass

MAX_DEPTH = 16


class AmqpError(Exception):
    """Bytes that are not what they claim to be; `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Symbol(str):
    """A symbol; equal to the string of its characters."""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since the Unix epoch."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Described:
    """A value with its descriptor, which is an int (ulong) or a Symbol."""

    descriptor: Any
    value: Any


# Reading.


class Reader:
    """One value after another out of `data`, from `at` to `end`. Every method raises AmqpError."""

    __slots__ = ("_data", "at", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def more(self) -> bool:
        return self.at < self.end

    def value(self, depth: int = 0) -> Any:
        """The next value."""
        code = self.byte()
        if code:
            return self._of(code, depth)
        if depth >= MAX_DEPTH:
            raise AmqpError("values are nested too deeply")
        descriptor = self.value(depth + 1)
        return Described(descriptor, self.value(depth + 1))

    def raw(self) -> bytes:
        """The next value as it is encoded, read over."""
        start = self.at
        self.value()
        return self._data[start : self.at]

    def descriptor(self) -> Any:
        """The descriptor of a described value, of which the value itself is then next."""
        if self.byte():
            raise AmqpError("a value without a descriptor where one is due")
        return self.value()

    def byte(self) -> int:
        """The next byte: a type code, or a count."""
        if self.at >= self.end:
            raise AmqpError("a value is cut off")
        code = self._data[self.at]
        self.at += 1
        return code

    def _take(self, size: int) -> bytes:
        at = self.at
        if size > self.end - at:
            raise AmqpError("a value is cut off")
        self.at = at + size
        return self._data[at : self.at]

    def _size(self, wide: int) -> int:
        return self.byte() if wide == 1 else int.from_bytes(self._take(4), "big")

    def _of(self, code: int, depth: int) -> Any:
        fixed = _FIXED.get(code)
        if fixed is not None:
            size, read = fixed
            return read(self._take(size))
        if code in _VARIABLE:
            wide, read = _VARIABLE[code]
            return read(self._take(self._size(wide)))
        if code in _COMPOUND:
            if depth >= MAX_DEPTH:
                raise AmqpError("values are nested too deeply")
            return self._compound(code, depth + 1)
        raise AmqpError(f"the type code {code:#04x} is unknown")

    def _compound(self, code: int, depth: int) -> Any:
        if code == _LIST0:
            return []
        wide = _COMPOUND[code]
        size = self._size(wide)
        end = self.at + size
        if end > self.end:
            raise AmqpError("a value is cut off")
        inside = Reader(self._data, self.at, end)
        count = inside._size(wide)
        if code in (_ARRAY8, _ARRAY32):
            values: Any = inside._array(count, depth)
        else:
            if count > end - inside.at:
                raise AmqpError("more elements than bytes")
            values = [inside.value(depth) for _ in range(count)]
        if inside.more:
            raise AmqpError("a value is longer than its elements")
        self.at = end
        return _mapped(values) if code in (_MAP8, _MAP32) else values

    def _array(self, count: int, depth: int) -> list[Any]:
        code, descriptor = self.byte(), None
        if not code:
            descriptor = self.value(depth)
            code = self.byte()
        if code in _EMPTY or count > self.end - self.at:
            raise AmqpError("more elements than bytes")
        values = [self._of(code, depth) for _ in range(count)]
        return values if descriptor is None else [Described(descriptor, value) for value in values]


def _mapped(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise AmqpError("a map with a key that has no value")
    try:
        return dict(zip(values[::2], values[1::2], strict=True))
    except TypeError:
        raise AmqpError("a map with a key that is a list or a map") from None


def _unpacked(form: str, size: int) -> tuple[int, Callable[[bytes], Any]]:
    unpack = struct.Struct(">" + form).unpack
    return size, lambda data: unpack(data)[0]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise AmqpError("a string is not UTF-8") from None


def _symbol(data: bytes) -> Symbol:
    try:
        return Symbol(data.decode("ascii"))
    except UnicodeDecodeError:
        raise AmqpError("a symbol is not ASCII") from None


def _char(data: bytes) -> str:
    try:
        return chr(int.from_bytes(data, "big"))
    except (ValueError, OverflowError):
        raise AmqpError("a char is no character") from None


def _boolean(data: bytes) -> bool:
    if data not in (b"\x00", b"\x01"):
        raise AmqpError("a boolean is neither true nor false")
    return data == b"\x01"


_FIXED: dict[int, tuple[int, Callable[[bytes], Any]]] = {
    0x40: (0, lambda _: None),
    0x41: (0, lambda _: True),
    0x42: (0, lambda _: False),
    0x43: (0, lambda _: 0),
    0x44: (0, lambda _: 0),
    0x50: _unpacked("B", 1),
    0x51: _unpacked("b", 1),
    0x52: _unpacked("B", 1),
    0x53: _unpacked("B", 1),
    0x54: _unpacked("b", 1),
    0x55: _unpacked("b", 1),
    0x56: (1, _boolean),
    0x60: _unpacked("H", 2),
    0x61: _unpacked("h", 2),
    0x70: _unpacked("I", 4),
    0x71: _unpacked("i", 4),
    0x72: _unpacked("f", 4),
    0x73: (4, _char),
    0x74: (4, bytes),
    0x80: _unpacked("Q", 8),
    0x81: _unpacked("q", 8),
    0x82: _unpacked("d", 8),
    0x83: (8, lambda data: Timestamp(int.from_bytes(data, "big", signed=True))),
    0x84: (8, bytes),
    0x94: (16, bytes),
    0x98: (16, lambda data: UUID(bytes=data)),
}
_VARIABLE: dict[int, tuple[int, Callable[[bytes], Any]]] = {
    0xA0: (1, bytes),
    0xA1: (1, _text),
    0xA3: (1, _symbol),
    0xB0: (4, bytes),
    0xB1: (4, _text),
    0xB3: (4, _symbol),
}
_LIST0, _LIST8, _LIST32 = 0x45, 0xC0, 0xD0
_MAP8, _MAP32 = 0xC1, 0xD1
_ARRAY8, _ARRAY32 = 0xE0, 0xF0
_COMPOUND = {_LIST0: 0, _LIST8: 1, _LIST32: 4, _MAP8: 1, _MAP32: 4, _ARRAY8: 1, _ARRAY32: 4}
_EMPTY = frozenset({0x40, 0x41, 0x42, 0x43, 0x44, _LIST0})
"""Types without a body: an array of them could claim any length."""


# Writing. Every function returns the encoded value.

NULL = b"\x40"


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the one value
    return b"\x41" if value else b"\x42"


def ubyte(value: int) -> bytes:
    return b"\x50" + value.to_bytes(1, "big")


def ushort(value: int) -> bytes:
    return b"\x60" + value.to_bytes(2, "big")


def uint(value: int) -> bytes:
    if value == 0:
        return b"\x43"
    return b"\x52" + bytes([value]) if value < 256 else b"\x70" + value.to_bytes(4, "big")


def ulong(value: int) -> bytes:
    if value == 0:
        return b"\x44"
    return b"\x53" + bytes([value]) if value < 256 else b"\x80" + value.to_bytes(8, "big")


def int32(value: int) -> bytes:
    """AMQP's `int`."""
    return b"\x71" + value.to_bytes(4, "big", signed=True)


def timestamp(milliseconds: int) -> bytes:
    return b"\x83" + milliseconds.to_bytes(8, "big", signed=True)


def uuid(value: UUID) -> bytes:
    return b"\x98" + value.bytes


def binary(value: bytes) -> bytes:
    return _sized(0xA0, 0xB0, value)


def string(value: str) -> bytes:
    return _sized(0xA1, 0xB1, value.encode())


def symbol(value: str) -> bytes:
    return _sized(0xA3, 0xB3, value.encode("ascii"))


def _sized(short: int, long: int, value: bytes) -> bytes:
    size = len(value)
    if size < 256:
        return bytes((short, size)) + value
    return bytes((long,)) + size.to_bytes(4, "big") + value


def sequence(*values: bytes) -> bytes:
    """A list of encoded values."""
    return _compound(_LIST8, _LIST32, values) if values else b"\x45"


def mapping(*keys_and_values: bytes) -> bytes:
    """A map of encoded keys and values, in turn."""
    return _compound(_MAP8, _MAP32, keys_and_values)


def _compound(short: int, long: int, values: Sequence[bytes]) -> bytes:
    body = b"".join(values)
    if len(body) < 255 and len(values) < 256:
        return bytes((short, len(body) + 1, len(values))) + body
    return bytes((long,)) + struct.pack(">II", len(body) + 4, len(values)) + body


def symbols(*values: str) -> bytes:
    """An array of symbols (each shorter than 256 characters)."""
    body = b"".join(bytes([len(value)]) + value.encode("ascii") for value in values)
    return b"\xf0" + struct.pack(">II", len(body) + 5, len(values)) + b"\xa3" + body


def described(descriptor: int, value: bytes) -> bytes:
    return b"\x00" + ulong(descriptor) + value
