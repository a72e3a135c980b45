"""The telemetry log: many connections append, one thread commits for all of them.

Group commit: whatever waits when the writer is free goes into one transaction, and every message of it is settled
after that commit by one call into the event loop. Reads have a connection and a thread of their own. What is kept,
and for how long, is `telemetry_file.py`'s business; this file neither knows SQL nor limits how much callers let wait.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub.telemetry_file import BUSY_TIMEOUT_S, Row, TelemetryFile, TelemetryReader, row
from accredit.interfaces import Clock, StoreUnavailable
from accredit.observe import log

DEFAULT_MAX_AGE_S = 7 * 86_400
DEFAULT_MAX_BYTES = 1 << 30

_GROUP_ROWS = 512
_GROUP_BYTES = 4 * 1_048_576
_SWEEP_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One message on its way to the disk."""

    row: Row
    settled: asyncio.Future[int]


class SqliteTelemetry:
    """`interfaces.TelemetryLog` in one file. It serves one event loop, the one that appends.

    Raises StoreUnavailable from the constructor when the file can't be used.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        max_bytes: int = DEFAULT_MAX_BYTES,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._group_bytes = min(_GROUP_BYTES, max_bytes // 4)
        self._file = TelemetryFile(
            path, max_age_s=max_age_s, max_bytes=max_bytes, busy_timeout_s=busy_timeout_s
        )
        try:
            self._reader = TelemetryReader(path)
        except StoreUnavailable:
            self._file.close()
            raise
        self._latest = self._file.last_sequence
        self._closing = False
        self._arrivals: set[asyncio.Future[None]] = set()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="telemetry-read")
        self._writer = threading.Thread(target=self._write, name="telemetry-write", daemon=True)
        self._writer.start()

    async def append(self, message: Telemetry) -> int:
        """Return the message's sequence number once it is durable; raises StoreUnavailable when it is not."""
        if self._closing:
            raise StoreUnavailable("telemetry is closed")
        settled: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(row(message), settled))
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
        """Write what waits, then close the file; appends from now on are refused."""
        if self._closing:
            return
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._announce()
        await asyncio.to_thread(self._reads.shutdown)
        self._reader.close()

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
        self._file.close()

    def _group(self, first: _Waiting | None) -> tuple[list[_Waiting], bool]:
        """What waits and fits one commit, and whether more may come."""
        group: list[_Waiting] = []
        size = 0
        entry = first
        while entry is not None:
            group.append(entry)
            size += entry.row[2]
            if len(group) >= _GROUP_ROWS or size >= self._group_bytes or self._queue.empty():
                return group, True
            entry = self._queue.get()
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        outcome: int | StoreUnavailable
        try:
            outcome = self._file.append([waiting.row for waiting in group], self._clock.now())
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
            self._file.sweep(self._clock.now())
        except Exception as error:  # noqa: BLE001 - as in `_commit`: the writer must outlive whatever it was
            log.warning("telemetry-not-swept", evidence=str(error))

    # The event loop again.

    def _settle(self, group: list[_Waiting], outcome: int | StoreUnavailable) -> None:
        if isinstance(outcome, int):
            self._latest = outcome + len(group) - 1
            for place, waiting in enumerate(group):
                if not waiting.settled.done():
                    waiting.settled.set_result(outcome + place)
            self._announce()
            return
        for waiting in group:
            if not waiting.settled.done():
                waiting.settled.set_exception(StoreUnavailable(str(outcome)))
