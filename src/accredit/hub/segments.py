"""The folder of telemetry segments: groups are appended to the newest, whole segments are deleted, oldest first.

A group is durable when `append` returns. A segment that is long or old enough is finished: its index is written and the
next one is begun. The folder is bounded by its bytes and its messages by their age, both to the segment: room is made
before a group is written, and a segment goes when its newest message is too old. Sequence numbers only rise, also across deletion and restart,
because the newest segment, whose header tells its first number, always stays. Nothing here knows of threads or of an event loop.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from accredit.hub import segment
from accredit.hub.disk import Disk
from accredit.hub.segment_index import ENTRY_BYTES, GrowingIndex, StoredIndex, Summary, indexed, summary
from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.values import dataclass

Entry = tuple[str, float, str, bytes]
"""A message to append: device id, instant, hub and payload."""

_SEGMENTS = 128
"""Into so many the quota is parted: so much of it goes at once."""

_LEAST_SEGMENT_BYTES, _MOST_SEGMENT_BYTES = 65_536, 16 * 1_048_576
_PARTS_OF_AGE = 16
_HUBS_WITHIN_BYTES = 65_536
_INDEX_SUFFIX = ".idx"


@dataclass(frozen=True, slots=True)
class Finished:
    """A segment that is written to no more."""

    path: Path
    about: Summary
    bytes: int

    @property
    def index_path(self) -> Path:
        return self.path.with_suffix(_INDEX_SUFFIX)


@dataclass(frozen=True, slots=True)
class View:
    """What may be read: all of the finished segments, and the first `count` records of the newest, up to `end`."""

    finished: tuple[Finished, ...]
    path: Path
    index: GrowingIndex
    count: int
    end: int


class Segments:
    """The writing side. Methods raise StoreUnavailable when the disk does not do what it should; nothing of the group stands then."""

    def __init__(
        self,
        folder: Path,
        *,
        max_age_s: float,
        max_bytes: int,
        disk: Disk | None = None,
        first: int = 1,
    ) -> None:
        """`first` is the number of the first message of a new folder."""
        self._folder = folder
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._segment_bytes = min(max(max_bytes // _SEGMENTS, _LEAST_SEGMENT_BYTES), _MOST_SEGMENT_BYTES)
        self._disk = disk if disk is not None else Disk()
        self._path: Path
        self._file: int
        self._index: GrowingIndex
        self._finished: tuple[Finished, ...]
        self._untrusted = False
        with _told(f"the telemetry folder {folder} can't be used"):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._open(first)
        self._finished_bytes: int = sum(each.bytes for each in self._finished)
        self.view: View = self._view()

    @property
    def last_sequence(self) -> int:
        return self._index.first + len(self._index) - 1

    def append(self, entries: Sequence[Entry], now: float) -> int:
        """Make a group durable, and return the sequence number of its last message; the others go before it."""
        sequence = self.last_sequence
        records = [segment.record(sequence + place, each[3]) for place, each in enumerate(entries, 1)]
        data = b"".join(records)
        with _told("telemetry can't be written"):
            self._make_ready(now, len(data))
            self._write(data)
        index, end = self._index, self._index.end
        for written, (device_id, enqueued_at, hub, _) in zip(records, entries, strict=True):
            end += len(written)
            index.add(end, device_id, enqueued_at, hub)
        self.view = self._view()
        return self.last_sequence

    def sweep(self, now: float) -> None:
        """Delete what is too old."""
        with _told("old telemetry can't be deleted"):
            self._make_ready(now, 0)

    def close(self) -> None:
        os.close(self._file)

    # The newest segment.

    def _write(self, data: bytes) -> None:
        """Raises OSError, and has undone what it did."""
        end = self._index.end
        try:
            self._disk.write(self._file, data, end)
            # What could not be synchronized once may be gone, whatever the next call says: nothing more goes there.
            self._untrusted = True
            self._disk.sync(self._file)
            self._untrusted = False
        except OSError:
            try:
                self._disk.cut(self._file, end)
            except OSError:
                self._untrusted = True
            raise

    def _make_ready(self, now: float, incoming: int) -> None:
        index = self._index
        aged = index.oldest < now - self._max_age_s / _PARTS_OF_AGE
        if self._untrusted or index.end >= self._segment_bytes or aged:
            self._rotate()
        while self._finished and self._finished[0].about.newest < now - self._max_age_s:
            self._delete_oldest()
        while self._used_bytes() + incoming > self._max_bytes:
            if not self._finished:
                if not len(self._index):
                    return
                self._rotate()
            self._delete_oldest()

    def _used_bytes(self) -> int:
        return self._finished_bytes + self._index.end + len(self._index) * ENTRY_BYTES

    def _rotate(self) -> None:
        """Finish the newest segment and begin another."""
        finished = self._finish(self._path, self._index)
        path, file = self._begin(self.last_sequence + 1)
        os.close(self._file)
        self._path, self._file, self._index = path, file, GrowingIndex(self.last_sequence + 1)
        self._untrusted = False
        self._finished_bytes += finished.bytes
        self._finished = (*self._finished, finished)
        self.view = self._view()

    def _begin(self, first: int) -> tuple[Path, int]:
        """A segment with its header, both durable."""
        path = self._folder / f"{first:020d}.log"
        fresh = path.with_suffix(".new")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._disk.write(file, segment.header(first), 0)
            self._disk.sync(file)
            fresh.replace(path)
            sync_folder(self._folder)
        except OSError:
            os.close(file)
            raise
        return path, file

    def _view(self) -> View:
        return View(self._finished, self._path, self._index, len(self._index), self._index.end)

    # Finished segments.

    def _finish(self, path: Path, index: GrowingIndex) -> Finished:
        data = index.encode()
        write_index(path, data)
        return Finished(path, index.summary, index.end + len(data))

    def _delete_oldest(self) -> None:
        oldest = self._finished[0]
        # Who reads it now has it open; who comes to it later finds that it is gone, and goes on with the next.
        oldest.path.unlink(missing_ok=True)
        oldest.index_path.unlink(missing_ok=True)
        self._finished_bytes -= oldest.bytes
        self._finished = self._finished[1:]
        self.view = self._view()

    # Opening.

    def _open(self, first: int) -> None:
        for left in (*self._folder.glob("*.new"), *self._folder.glob("*.idx")):
            if left.suffix == ".new" or not left.with_suffix(".log").exists():
                left.unlink()
        found = sorted(self._folder.glob("*.log"))
        if not found:
            self._path, self._file = self._begin(first)
            self._index = GrowingIndex(first)
            self._finished = ()
            return
        firsts = [_first_of(path) for path in found]
        self._finished = tuple(
            self._reopened(path, first, following)
            for path, first, following in zip(found[:-1], firsts[:-1], firsts[1:], strict=True)
        )
        self._path = found[-1]
        self._file = os.open(self._path, os.O_RDWR)
        self._index = self._recovered(firsts[-1])

    def _reopened(self, path: Path, first: int, following: int) -> Finished:
        try:
            about = summary(_beginning(path.with_suffix(_INDEX_SUFFIX), _HUBS_WITHIN_BYTES))
            if about.first == first and first + about.count <= following:
                size = about.end + path.with_suffix(_INDEX_SUFFIX).stat().st_size
                return Finished(path, about, size)
        except (OSError, segment.Damaged):
            pass
        return self._finish(path, indexed(first, segment.whole_records(path.read_bytes(), first), following))

    def _recovered(self, first: int) -> GrowingIndex:
        """The newest segment's index; what a crash left behind its last whole record is cut."""
        data = self._path.read_bytes()
        index = indexed(first, segment.whole_records(data, first))
        if len(data) > index.end:
            log.warning("telemetry-tail-cut", segment=self._path.name, bytes=len(data) - index.end)
            self._disk.cut(self._file, index.end)
        # It may be whole and yet in the memory of the machine alone.
        self._disk.sync(self._file)
        return index


def load_index(finished: Finished) -> StoredIndex:
    """The index of a finished segment, made anew when it is missing or damaged. Raises OSError when the segment is gone."""
    try:
        return StoredIndex(finished.index_path.read_bytes())
    except (FileNotFoundError, segment.Damaged) as error:
        about = finished.about
        records = segment.whole_records(finished.path.read_bytes(), about.first)
        log.warning("telemetry-index-rebuilt", segment=finished.path.name, evidence=str(error))
        data = indexed(about.first, records, about.first + about.count).encode()
        with suppress(OSError):  # a full disk: it is made anew next time
            write_index(finished.path, data)
        return StoredIndex(data)


def write_index(path: Path, data: bytes) -> None:
    """Beside the segment at `path`, at once or not at all."""
    fresh = path.with_suffix(".idx.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path.with_suffix(_INDEX_SUFFIX))


def copied_segments(folder: Path, to: Path) -> list[Path]:
    """Copies of the segments in `folder`, in the new folder `to`, while a service writes to them: what it writes now may be cut off.

    Indexes are made anew from segments. Raises OSError.
    """
    to.mkdir(mode=0o700)
    copies = []
    for path in sorted(folder.glob("*.log")):
        copy = to / path.name
        with suppress(FileNotFoundError):  # it was the oldest, and is deleted
            shutil.copyfile(path, copy)
            copies.append(copy)
    return copies


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _first_of(path: Path) -> int:
    try:
        first = segment.first_sequence(_beginning(path, segment.HEADER.size))
    except segment.Damaged as error:
        raise StoreUnavailable(f"{path} is no telemetry segment: {error}; move it elsewhere") from error
    if path.stem != f"{first:020d}":
        raise StoreUnavailable(f"{path} begins with message {first}; give it back its name {first:020d}.log")
    return first


def _beginning(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{what}: {error}") from error
