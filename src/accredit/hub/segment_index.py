"""What finds a segment's records without reading it: where each begins, and which are of one device.

    header    8 bytes magic, u32 CRC-32 of the header's rest and the hubs, u32 CRC-32 of both tables, u64 first sequence
              number, u64 records, u64 end of the last record, f64 newest instant, u32 bytes of the hubs
    hubs      the names of the hubs whose messages there are, a MessagePack array
    offsets   u32 for each record, in order
    devices   u64 for each record, sorted: CRC-32 of the device id, then the record's place in the segment

Two devices may share a CRC, so a record that is found by it is looked at. An index can be made anew from its segment, and is when it
is missing or damaged: it is never waited for to be durable.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

from accredit.domain.ids import DeviceId
from accredit.hub.segment import HEADER as SEGMENT_HEADER
from accredit.hub.segment import Damaged
from accredit.values import dataclass

MAGIC = b"accredI1"
_HEADER = struct.Struct("<8sIIQQQdI")
_CHECKED_FROM = 12
_PLACE = 0xFFFF_FFFF
ENTRY_BYTES = 12
"""Of a record, in both tables."""

_hubs = msgspec.msgpack.Decoder(frozenset[str])


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a finished segment without its tables; `newest` is -inf where it has no record."""

    first: int
    count: int
    end: int
    newest: float
    hubs: frozenset[str]


def device_key(device_id: str) -> int:
    """The upper half of a device's entries."""
    return zlib.crc32(device_id.encode()) << 32


class GrowingIndex:
    """The index of a segment that is written to. One thread adds; others may read what is below a count that they were told."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.end = SEGMENT_HEADER.size
        self.oldest = float("inf")
        self.newest = float("-inf")
        self.hubs: set[str] = set()
        self.offsets = array("I")
        self._devices = array("Q")

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, end: int, device_id: str, enqueued_at: float, hub: str) -> None:
        """The next record reaches from the last one's end to `end`."""
        self._devices.append(device_key(device_id) | len(self.offsets))
        self.offsets.append(self.end)
        self.end = end
        self.oldest = min(self.oldest, enqueued_at)
        self.newest = max(self.newest, enqueued_at)
        self.hubs.add(hub)

    def places(self, device_id: DeviceId, start: int, count: int) -> Sequence[int]:
        """Which of the records from `start` to below `count` may be the device's."""
        key = device_key(device_id.text)
        return [entry & _PLACE for entry in self._devices[start:count] if entry & ~_PLACE == key]

    @property
    def summary(self) -> Summary:
        return Summary(self.first, len(self), self.end, self.newest, frozenset(self.hubs))

    def encode(self) -> bytes:
        tables = _bytes(self.offsets) + _bytes(array("Q", sorted(self._devices)))
        hubs = msgspec.msgpack.encode(sorted(self.hubs))
        rest = (zlib.crc32(tables), self.first, len(self), self.end, self.newest, len(hubs))
        unchecked = _HEADER.pack(MAGIC, 0, *rest)
        checksum = zlib.crc32(hubs, zlib.crc32(unchecked[_CHECKED_FROM:]))
        return _HEADER.pack(MAGIC, checksum, *rest) + hubs + tables


class StoredIndex:
    """The index of a finished segment, from its file's bytes. Raises Damaged."""

    def __init__(self, data: bytes) -> None:
        self.summary = summary(data)
        magic_to_hubs = _HEADER.size + _HEADER.unpack_from(data)[-1]
        tables = data[magic_to_hubs:]
        count = self.summary.count
        if len(tables) != count * ENTRY_BYTES or zlib.crc32(tables) != _HEADER.unpack_from(data)[2]:
            raise Damaged("the tables' checksum does not hold")
        self.offsets = _array("I", tables[: count * 4])
        self._devices = _array("Q", tables[count * 4 :])

    def places(self, device_id: DeviceId, start: int, count: int) -> Sequence[int]:
        """As of a growing one."""
        key = device_key(device_id.text)
        low = bisect_left(self._devices, key | start)
        high = bisect_left(self._devices, key | count, low)
        return [entry & _PLACE for entry in self._devices[low:high]]


def summary(data: bytes) -> Summary:
    """Of an index that begins with `data`, which must reach to the end of the hubs. Raises Damaged."""
    if len(data) < _HEADER.size:
        raise Damaged("it has no header")
    magic, checksum, _, first, count, end, newest, hubs_bytes = _HEADER.unpack_from(data)
    rest = data[_CHECKED_FROM : _HEADER.size + hubs_bytes]
    if magic != MAGIC or len(rest) != _HEADER.size - _CHECKED_FROM + hubs_bytes:
        raise Damaged("it is no index of this format")
    if zlib.crc32(rest) != checksum:
        raise Damaged("the header's checksum does not hold")
    try:
        hubs = _hubs.decode(data[_HEADER.size : _HEADER.size + hubs_bytes])
    except msgspec.MsgspecError as error:
        raise Damaged(str(error)) from error
    return Summary(first, count, end, newest, hubs)


def indexed(
    first: int, records: Iterable[tuple[int, int, str, float, str]], below: int | None = None
) -> GrowingIndex:
    """The index of a segment from its records (`segment.whole_records`), of those with sequence numbers below `below`."""
    index = GrowingIndex(first)
    for _, end, device_id, enqueued_at, hub in records:
        if below is not None and first + len(index) >= below:
            break
        index.add(end, device_id, enqueued_at, hub)
    return index


def _bytes(table: array[int]) -> bytes:
    if sys.byteorder == "big":
        table = table[:]
        table.byteswap()
    return table.tobytes()


def _array(code: str, data: bytes) -> array[int]:
    table = array(code, data)
    if sys.byteorder == "big":
        table.byteswap()
    return table
