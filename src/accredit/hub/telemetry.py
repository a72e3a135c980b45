"""The telemetry log: many connections append, one thread writes for all of them.

Group commit: whatever waits when the writer is free becomes one write and one wait for the disk, and every append of it is
settled after that by one call into the event loop. Reads have a thread of their own. What is kept, and for how long, is
`segments.py`'s business; this file knows no format, and does not limit how much callers let wait.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub import segment
from accredit.hub.disk import Disk
from accredit.hub.segment_reader import SegmentReader
from accredit.hub.segments import Entry, Segments
from accredit.interfaces import Clock, StoreUnavailable
from accredit.observe import log
from accredit.values import dataclass

DEFAULT_MAX_AGE_S = 7 * 86_400
DEFAULT_MAX_BYTES = 1 << 30

_GROUP_MESSAGES = 2_048
_GROUP_BYTES = 4 * 1_048_576
_SWEEP_EVERY_S = 60.0


@dataclass(slots=True)
class _Waiting:
    """One call's messages on their way to the disk."""

    entries: list[Entry]
    bytes: int
    settled: asyncio.Future[int]


class SegmentedTelemetry:
    """`interfaces.TelemetryLog` in a folder of segments. It serves one event loop, the one that appends.

    Raises StoreUnavailable from the constructor when the folder can't be used.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        max_bytes: int = DEFAULT_MAX_BYTES,
        disk: Disk | None = None,
    ) -> None:
        self._clock = clock
        self._group_bytes = min(_GROUP_BYTES, max_bytes // 4)
        self._segments = Segments(folder, max_age_s=max_age_s, max_bytes=max_bytes, disk=disk)
        self._reader = SegmentReader(lambda: self._segments.view)
        self._latest = self._segments.last_sequence
        self._closing = False
        self._arrivals: set[asyncio.Future[None]] = set()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="telemetry-read")
        self._writer = threading.Thread(target=self._write, name="telemetry-write", daemon=True)
        self._writer.start()

    async def append(self, messages: Sequence[Telemetry]) -> int:
        """Return the last one's sequence number once all are durable; raises StoreUnavailable when none is."""
        if self._closing:
            raise StoreUnavailable("telemetry is closed")
        entries = [
            (each.device_id.text, each.enqueued_at, each.hub, segment.payload(each)) for each in messages
        ]
        settled: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(entries, sum(len(payload) for *_, payload in entries), settled))
        return await settled

    async def read(
        self, device_id: DeviceId | None, after: int, limit: int, hub: tuple[str, str] | None = None
    ) -> Sequence[tuple[int, Telemetry]]:
        """Messages above `after`, in order. A page ends at `limit` or at about 4 MiB: only an empty one is the end."""
        if self._closing:
            raise StoreUnavailable("telemetry is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reads, self._reader.read, device_id, after, limit, hub)

    async def arrival(self, after: int) -> int:
        """Return the newest sequence number once it is above `after`, or once the log is closed."""
        while self._latest <= after and not self._closing:
            arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._arrivals.add(arrived)
            try:
                await arrived
            finally:
                self._arrivals.discard(arrived)
        return self._latest

    async def close(self) -> None:
        """Write what waits, then close the files; appends from now on are refused."""
        if self._closing:
            return
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._announce()
        await asyncio.to_thread(self._reads.shutdown)

    def _announce(self) -> None:
        for arrived in self._arrivals:
            if not arrived.done():
                arrived.set_result(None)

    # The writer's thread.

    def _write(self) -> None:
        open_ = True
        while open_:
            try:
                first = self._queue.get(timeout=_SWEEP_EVERY_S)
            except queue.Empty:
                self._sweep()
                continue
            group, open_ = self._group(first)
            if group:
                self._commit(group)
        self._segments.close()

    def _group(self, first: _Waiting | None) -> tuple[list[_Waiting], bool]:
        """What waits and fits one commit, and whether more may come."""
        group: list[_Waiting] = []
        count = size = 0
        waiting = first
        while waiting is not None:
            group.append(waiting)
            count += len(waiting.entries)
            size += waiting.bytes
            if count >= _GROUP_MESSAGES or size >= self._group_bytes or self._queue.empty():
                return group, True
            waiting = self._queue.get()
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        outcome: int | StoreUnavailable
        entries = [entry for waiting in group for entry in waiting.entries]
        try:
            outcome = self._segments.append(entries, self._clock.now())
        except StoreUnavailable as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - a dead writer would leave every device without an answer
            log.error("telemetry-bug", evidence=repr(error))
            outcome = StoreUnavailable("telemetry can't be written: internal error")
        loop = group[0].settled.get_loop()
        try:
            loop.call_soon_threadsafe(self._settle, group, outcome)
        except RuntimeError:
            # The loop is gone, and with it everybody who waited.
            return

    def _sweep(self) -> None:
        try:
            self._segments.sweep(self._clock.now())
        except Exception as error:  # noqa: BLE001 - as in `_commit`: the writer must outlive whatever it was
            log.warning("telemetry-not-swept", evidence=str(error))

    # The event loop again.

    def _settle(self, group: list[_Waiting], outcome: int | StoreUnavailable) -> None:
        if isinstance(outcome, StoreUnavailable):
            for waiting in group:
                if not waiting.settled.done():
                    waiting.settled.set_exception(StoreUnavailable(str(outcome)))
            return
        self._latest = outcome
        last = outcome
        for waiting in reversed(group):
            if not waiting.settled.done():
                waiting.settled.set_result(last)
            last -= len(waiting.entries)
        self._announce()
