"""One segment of the telemetry log as bytes: a header, then records, each with a checksum of its own.

    header   8 bytes magic, u64 sequence number of the first record
    record   u32 CRC-32 of all that follows in the record, u32 bytes of the payload, u64 sequence number, payload

Numbers are little-endian. A payload is a MessagePack array of a message's members. What a crash leaves behind the last
whole record was acknowledged to nobody, and is cut. Nothing here opens a file: `segments.py` writes, `segment_reader.py` reads.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId

MAGIC = b"accredT1"
"""The last character is the format's version."""

HEADER = struct.Struct("<8sQ")
_RECORD = struct.Struct("<IIQ")
_COVERED = struct.Struct("<IQ")
RECORD_BYTES = _RECORD.size
"""What a record has before its payload."""

MAX_PAYLOAD_BYTES = 4 * 1_048_576
"""Far above the largest message; a length that was damaged asks for no more memory than this."""


class Damaged(Exception):
    """Bytes that are no segment, or no record where one must be."""


class _Payload(msgspec.Struct, array_like=True, frozen=True):
    device_id: str
    enqueued_at: float
    auth_method: str
    hub: str
    properties: dict[str, str]
    system: dict[str, str]
    body: bytes


class _Summary(msgspec.Struct, array_like=True, frozen=True):
    """The beginning of a payload: what the index holds. What follows in the array is passed over."""

    device_id: str
    enqueued_at: float
    auth_method: str
    hub: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Payload).decode
_summary = msgspec.msgpack.Decoder(_Summary).decode


def header(first: int) -> bytes:
    return HEADER.pack(MAGIC, first)


def first_sequence(data: bytes) -> int:
    """Of a segment that begins with `data`. Raises Damaged."""
    if len(data) < HEADER.size:
        raise Damaged("it has no header")
    magic, first = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Damaged(f"it begins with {magic!r}, where this version reads {MAGIC!r}")
    return int(first)


def payload(message: Telemetry) -> bytes:
    """A message as a record carries it."""
    return _encode(
        _Payload(
            message.device_id.text,
            message.enqueued_at,
            message.auth_method,
            message.hub,
            message.properties,
            message.system,
            message.body,
        )
    )


def record(sequence: int, payload: bytes) -> bytes:
    covered = _COVERED.pack(len(payload), sequence)
    checksum = zlib.crc32(payload, zlib.crc32(covered))
    return _RECORD.pack(checksum, len(payload), sequence) + payload


def message(data: bytes, sequence: int) -> Telemetry:
    """The message of the record that `data` is, from its first byte to its last. Raises Damaged."""
    if _extent(data, 0, len(data), sequence) != len(data):
        raise Damaged("the checksum does not hold")
    try:
        held = _decode(memoryview(data)[RECORD_BYTES:])
    except msgspec.MsgspecError as error:
        raise Damaged(str(error)) from error
    return Telemetry(
        device_id=DeviceId(held.device_id),
        body=held.body,
        properties=held.properties,
        system=held.system,
        auth_method=held.auth_method,
        enqueued_at=held.enqueued_at,
        hub=held.hub,
    )


def whole_records(data: bytes, first: int) -> Iterator[tuple[int, int, str, float, str]]:
    """Offset, end, device id, instant and hub of each record of a segment, up to the first that is not whole.

    The first record of the segment has the sequence number `first`; each has the next one.
    """
    view = memoryview(data)
    at, size, sequence = HEADER.size, len(data), first
    while (end := _extent(view, at, size, sequence)) is not None:
        try:
            held = _summary(view[at + RECORD_BYTES : end])
        except msgspec.MsgspecError:
            return
        yield at, end, held.device_id, held.enqueued_at, held.hub
        at = end
        sequence += 1


def _extent(data: bytes | memoryview, at: int, size: int, sequence: int) -> int | None:
    """Where the record at `at` ends, if it is whole, right, and the one of this number."""
    if at + RECORD_BYTES > size:
        return None
    checksum, length, number = _RECORD.unpack_from(data, at)
    end = at + RECORD_BYTES + length
    if number != sequence or length > MAX_PAYLOAD_BYTES or end > size:
        return None
    return end if zlib.crc32(memoryview(data)[at + 4 : end]) == checksum else None
