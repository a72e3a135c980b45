"""Reading the telemetry log: all messages in order, or those of one device or one hub, by the segments' indexes.

A reader works on a view that the writer gave out, so it sees what was durable at that moment, while the writer goes on. A segment that is
deleted meanwhile is passed over, and so is a record that is damaged: one line of the log tells of the segment.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub import segment
from accredit.hub.segment_index import GrowingIndex, StoredIndex
from accredit.hub.segments import Finished, View, load_index
from accredit.interfaces import StoreUnavailable
from accredit.observe import log

PAGE_BYTES = 4 * 1_048_576
_TOGETHER_BYTES = 262_144
"""Neighbours are read from the disk together, about so much at a time."""


class _Part:
    """The readable part of one segment."""

    def __init__(
        self, path: Path, index: GrowingIndex | StoredIndex, first: int, count: int, end: int
    ) -> None:
        self.path, self.index, self.first, self.count, self._end = path, index, first, count, end

    def offset(self, place: int) -> int:
        """Where a record begins; that of the place behind the last one is the end."""
        return self.index.offsets[place] if place < self.count else self._end

    def runs(self, device_id: DeviceId | None, start: int) -> Iterator[Sequence[int]]:
        """Places that are read together: a device's one by one."""
        if device_id is not None:
            yield from ((place,) for place in self.index.places(device_id, start, self.count))
            return
        while start < self.count:
            last = self.offset(start) + _TOGETHER_BYTES
            stop = max(start + 1, bisect_right(self.index.offsets, last, start, self.count) - 1)
            # The last run has no offset behind it that is too far.
            stop = self.count if self.offset(self.count) <= last else stop
            yield range(start, stop)
            start = stop


class SegmentReader:
    """`view` gives the present view. For one thread."""

    def __init__(self, view: Callable[[], View]) -> None:
        self._view = view
        self._damaged: set[int] = set()

    def read(
        self, device_id: DeviceId | None, after: int, limit: int, hub: tuple[str, str] | None = None
    ) -> list[tuple[int, Telemetry]]:
        """At most `limit` messages above `after`, and no more than about 4 MiB of them, but at least one if any.

        `hub` has the two names that a hub's messages may carry. Raises StoreUnavailable.
        """
        found: list[tuple[int, Telemetry]] = []
        total = 0
        try:
            for sequence, size, message in self._messages(device_id, after, hub):
                found.append((sequence, message))
                total += size
                if len(found) >= limit or total >= PAGE_BYTES:
                    break
        except OSError as error:
            raise StoreUnavailable(f"telemetry can't be read: {error}") from error
        return found

    def _messages(
        self, device_id: DeviceId | None, after: int, hub: tuple[str, str] | None
    ) -> Iterator[tuple[int, int, Telemetry]]:
        view = self._view()
        for finished in view.finished:
            about = finished.about
            if about.first + about.count > after + 1 and (hub is None or not about.hubs.isdisjoint(hub)):
                yield from self._of(partial(_part, finished), device_id, after, hub)
        newest = _Part(view.path, view.index, view.index.first, view.count, view.end)
        if newest.first + newest.count > after + 1:
            yield from self._of(lambda: newest, device_id, after, hub)

    def _of(
        self,
        opened: Callable[[], _Part],
        device_id: DeviceId | None,
        after: int,
        hub: tuple[str, str] | None,
    ) -> Iterator[tuple[int, int, Telemetry]]:
        """Sequence number, size and message of each that is asked for, in one segment."""
        try:
            part = opened()
            file = os.open(part.path, os.O_RDONLY)
        except FileNotFoundError:
            # Deleted since the view was given out: the oldest go first.
            return
        try:
            for run in part.runs(device_id, max(0, after + 1 - part.first)):
                begin = part.offset(run[0])
                data = os.pread(file, part.offset(run[-1] + 1) - begin, begin)
                for place in run:
                    record = data[part.offset(place) - begin : part.offset(place + 1) - begin]
                    message = self._message(record, part, place)
                    if message is None or (device_id is not None and message.device_id != device_id):
                        continue
                    if hub is None or message.hub in hub:
                        yield part.first + place, len(record), message
        finally:
            os.close(file)

    def _message(self, record: bytes, part: _Part, place: int) -> Telemetry | None:
        try:
            return segment.message(record, part.first + place)
        except segment.Damaged as error:
            if part.first not in self._damaged:
                self._damaged.add(part.first)
                log.error(
                    "telemetry-damaged",
                    segment=part.path.name,
                    sequenceNumber=part.first + place,
                    evidence=str(error),
                )
            return None


def _part(finished: Finished) -> _Part:
    about = finished.about
    return _Part(finished.path, load_index(finished), about.first, about.count, about.end)
