"""The folder: order, bounds, what a crash or a bad disk leaves, and what is read while it changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub import segment
from accredit.hub.segment_reader import SegmentReader
from accredit.hub.segments import Entry, Segments, copied_segments
from accredit.interfaces import StoreUnavailable
from accredit.values import replace
from support.logs import capture_logs
from support.troubled_disk import TroubledDisk

NOW = 1_800_000_000.0
MIB = 1_048_576


def message(body: bytes = b"x", device: str = "lamp-1", at: float = NOW, hub: str = "") -> Telemetry:
    return Telemetry(DeviceId(device), body, {"k": "v"}, {"message-id": "m"}, "{}", at, hub)


def entry(message: Telemetry) -> Entry:
    return message.device_id.text, message.enqueued_at, message.hub, segment.payload(message)


class Log:
    """Both sides of one folder, which can be opened again."""

    def __init__(self, folder: Path, max_bytes: int = MIB) -> None:
        self.folder = folder
        self.disk = TroubledDisk()
        self.max_bytes = max_bytes
        self.segments: Segments
        self.reader: SegmentReader
        self.open()

    def open(self) -> None:
        self.segments = Segments(self.folder, max_age_s=100, max_bytes=self.max_bytes, disk=self.disk)
        self.reader = SegmentReader(lambda: self.segments.view)

    def reopen(self) -> None:
        self.segments.close()
        self.open()

    def append(self, *messages: Telemetry, now: float = NOW) -> int:
        return self.segments.append([entry(each) for each in messages], now)

    def rotate(self) -> None:
        """The next message begins a segment."""
        self.append(message(bytes(65_536)))

    def read(self, after: int = 0, limit: int = 100_000, device: str | None = None) -> list[Telemetry]:
        wanted = None if device is None else DeviceId(device)
        return [each for _, each in self.reader.read(wanted, after, limit)]

    def sequences(self, after: int = 0) -> list[int]:
        found: list[int] = []
        while page := self.reader.read(None, found[-1] if found else after, 100_000):
            found += [sequence for sequence, _ in page]
        return found

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    @property
    def bytes(self) -> int:
        return sum(each.stat().st_size for each in self.folder.iterdir())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "telemetry")
    yield log
    log.segments.close()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


def test_a_group_is_numbered_in_order_and_read_back_whole(log: Log) -> None:
    sent = [message(b"one"), message(b"two", "lamp-2"), message(b"")]
    assert log.append(*sent) == 3
    assert log.append(message(b"four")) == 4
    assert log.reader.read(None, 0, 10) == [*enumerate(sent, 1), (4, message(b"four"))]
    assert log.disk.synced == 3, "one for the header, one for each group"


def test_a_page_begins_after_and_ends_at_the_limit(log: Log) -> None:
    log.append(*(message(b"%d" % n) for n in range(9)))
    assert [sequence for sequence, _ in log.reader.read(None, 3, 2)] == [4, 5]
    assert log.reader.read(None, 9, 2) == []
    assert log.reader.read(None, 1 << 62, 2) == []


def test_a_page_is_bounded_by_bytes_but_never_empty_before_the_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "large", 64 * MIB)
    log.append(*(message(bytes(3 * MIB)) for _ in range(4)))
    assert [sequence for sequence, _ in log.reader.read(None, 0, 100)] == [1, 2]
    assert [sequence for sequence, _ in log.reader.read(None, 2, 100)] == [3, 4]
    log.segments.close()


def test_a_device_and_a_hub_read_apart_over_all_segments(log: Log) -> None:
    for _ in range(2):
        log.append(*(message(device=name, hub=f"{name}.example") for name in ("a", "b", "a", "A")))
        log.rotate()
    log.append(message(device="b", hub="b.example"), message(device="a"))
    assert len(log.files) == 3

    def found(
        device: str | None, after: int, hub: tuple[str, str] | None = None, limit: int = 10
    ) -> list[int]:
        wanted = None if device is None else DeviceId(device)
        return [sequence for sequence, _ in log.reader.read(wanted, after, limit, hub)]

    assert found("a", 0) == [1, 3, 6, 8, 12]
    assert found("a", 3) == [6, 8, 12]
    assert found("a", 3, limit=2) == [6, 8]
    assert found("c", 0) == []
    assert found(None, 0, ("b.example", "b.example")) == [2, 7, 11]
    assert found(None, 0, ("b.example", "")) == [2, 5, 7, 10, 11, 12]
    assert found("a", 0, ("a.example", "a.example")) == [1, 3, 6, 8]
    assert found(None, 0, ("c.example", "c.example")) == []


def test_two_devices_of_one_checksum_are_told_apart(log: Log) -> None:
    # CRC-32 of both is 0x4ddb0c25.
    log.append(message(b"1", "plumless"), message(b"2", "buckeroo"))
    log.rotate()
    log.append(message(b"3", "plumless"), message(b"4", "buckeroo"))
    assert [each.body for each in log.read(device="plumless")] == [b"1", b"3"]
    assert [each.body for each in log.read(device="buckeroo")] == [b"2", b"4"]


class TestBounds:
    def test_the_folder_stays_bounded_and_loses_the_oldest(self, log: Log) -> None:
        for _ in range(200):
            log.append(*(message(bytes(5_000)) for _ in range(8)))
            assert log.bytes <= MIB
        kept = log.sequences()
        assert kept == list(range(kept[0], 1_601)), "a gap: not the oldest were deleted"
        assert kept[0] > 1
        assert len(kept) > 100

    def test_many_small_messages_are_bounded_too(self, log: Log) -> None:
        for _ in range(50):
            log.append(*(message(b"") for _ in range(500)))
            assert log.bytes <= MIB
        assert log.sequences()[-1] == 25_000

    def test_one_group_as_large_as_the_quota_is_kept(self, log: Log) -> None:
        log.append(message(bytes(900_000)))
        log.append(message(bytes(900_000)))
        assert log.sequences() == [2]

    def test_what_is_too_old_goes_with_the_next_group(self, log: Log) -> None:
        log.append(message(at=NOW))
        log.append(message(at=NOW + 50), now=NOW + 50)
        log.append(message(at=NOW + 100), now=NOW + 100)
        assert log.sequences() == [1, 2, 3]
        log.append(message(at=NOW + 101), now=NOW + 101)
        assert log.sequences() == [2, 3, 4]

    def test_sweeping_needs_no_new_message_and_numbers_go_on(self, log: Log) -> None:
        log.append(message())
        log.segments.sweep(NOW + 1_000)
        assert log.sequences() == []
        log.reopen()
        assert log.append(message(at=NOW + 1_000), now=NOW + 1_000) == 2

    def test_a_reader_goes_on_with_what_is_left(self, log: Log) -> None:
        log.rotate()
        log.rotate()
        log.append(message(b"last"))
        view = log.segments.view
        late = SegmentReader(lambda: view)
        log.segments.sweep(NOW + 1_000)
        log.append(message(b"new", at=NOW + 1_000), now=NOW + 1_000)
        assert late.read(None, 0, 10) == []
        assert log.read() == [message(b"new", at=NOW + 1_000)]

    def test_only_its_owner_may_read_it(self, log: Log) -> None:
        log.rotate()
        log.append(message())
        assert {each.stat().st_mode & 0o077 for each in (log.folder, *log.folder.iterdir())} == {0}


def test_a_copy_that_is_made_meanwhile_is_a_log_of_its_own(log: Log, tmp_path: Path) -> None:
    log.append(message(b"one"), message(b"two", "lamp-2"))
    log.rotate()
    log.append(message(b"four"))
    with log.segments.view.path.open("ab") as file:
        file.write(b"what is being written")
    copies = copied_segments(log.folder, tmp_path / "copy")
    assert [each.name for each in copies] == [each.name for each in log.files]
    log.append(message(b"later"))
    copy = Log(tmp_path / "copy")
    assert [each.body for each in copy.read()] == [b"one", b"two", bytes(65_536), b"four"]
    assert [each.body for each in copy.read(device="lamp-2")] == [b"two"]
    assert copy.append(message()) == 5
    copy.segments.close()
    assert copied_segments(tmp_path / "nothing", tmp_path / "of it") == []


class TestTrouble:
    def test_a_full_disk_keeps_nothing_of_the_group_and_goes_on_afterwards(self, log: Log) -> None:
        log.append(message())
        size = log.files[0].stat().st_size
        log.disk.full = True
        with pytest.raises(StoreUnavailable, match="No space left"):
            log.append(message(bytes(500)), message())
        assert log.files[0].stat().st_size == size
        log.disk.full = False
        assert log.append(message(b"again")) == 2
        log.reopen()
        assert log.sequences() == [1, 2]

    def test_what_could_not_be_synchronized_is_not_believed_later(self, log: Log) -> None:
        """The kernel tells of a page that could not be written once, and then takes it for written."""
        log.append(message(b"one"))
        log.disk.untrue = True
        with pytest.raises(StoreUnavailable, match="Input/output"):
            log.append(message(b"lost"))
        log.disk.untrue = False
        assert log.read() == [message(b"one")]
        assert log.append(message(b"two")) == 2
        assert len(log.files) == 2, "nothing is written behind what failed"
        log.reopen()
        assert log.read() == [message(b"one"), message(b"two")]

    def test_what_can_not_even_be_cut_is_left_behind(self, log: Log) -> None:
        log.append(message(b"one"))
        log.disk.untrue = log.disk.uncut = True
        with pytest.raises(StoreUnavailable):
            log.append(message(b"lost"), message(b"lost too"))
        log.disk.untrue = log.disk.uncut = False
        log.append(message(b"two"))
        for index in log.folder.glob("*.idx"):
            index.unlink()
        log.reopen()
        assert log.read() == [message(b"one"), message(b"two")]

    def test_no_room_for_the_next_segment_refuses_until_there_is(self, log: Log) -> None:
        log.rotate()
        log.disk.full = True
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="No space left"):
                log.append(message())
        log.disk.full = False
        assert log.append(message()) == 2
        log.reopen()
        assert log.sequences() == [1, 2]

    def test_a_sweep_that_fails_says_so(self, log: Log) -> None:
        log.append(message())
        log.disk.full = True
        with pytest.raises(StoreUnavailable, match="can't be deleted"):
            log.segments.sweep(NOW + 1_000)

    def test_a_damaged_record_costs_itself_alone(self, log: Log, logged: list[Any]) -> None:
        log.append(*(message(b"body-%d" % n, f"lamp-{n}") for n in range(4)))
        log.rotate()
        log.append(message(b"end"))
        path = log.files[0]
        path.write_bytes(path.read_bytes().replace(b"body-1", b"body-x"))
        assert [each.body for each in log.read(limit=4)] == [b"body-0", b"body-2", b"body-3", bytes(65_536)]
        assert log.read(device="lamp-1") == [message(bytes(65_536)), message(b"end")]
        assert [each["event"] for each in logged] == ["telemetry-damaged"], "once"
        assert logged[0]["sequenceNumber"] == 2

    def test_a_missing_or_damaged_index_is_made_anew(self, log: Log, logged: list[Any]) -> None:
        log.append(message(b"one", "a"), message(b"two", "b"))
        log.rotate()
        log.append(message(b"end", "b"))
        (index,) = log.folder.glob("*.idx")
        for spoiled in (b"", index.read_bytes()[:-1], b"\0" * 200):
            index.write_bytes(spoiled)
            assert [each.body for each in log.read(device="b")] == [b"two", b"end"]
        index.unlink()
        assert len(log.read()) == 4
        assert {each["event"] for each in logged} == {"telemetry-index-rebuilt"}
        for spoiled in (b"", b"\0" * 200):
            index.write_bytes(spoiled)
            log.reopen()
            assert [each.body for each in log.read(device="b")] == [b"two", b"end"]

    def test_what_a_crash_left_of_files_is_cleared_away(self, log: Log) -> None:
        (log.folder / "00000000000000000009.new").write_bytes(b"acc")
        (log.folder / "00000000000000000007.idx.new").write_bytes(b"acc")
        (log.folder / "00000000000000000000.idx").write_bytes(b"its segment was deleted")
        log.append(message())
        log.reopen()
        assert [each.name for each in log.folder.iterdir()] == ["00000000000000000001.log"]

    @pytest.mark.parametrize("content", [b"", b"accredT9" + bytes(8)])
    def test_a_file_that_is_no_segment_is_refused(self, log: Log, content: bytes) -> None:
        (log.folder / "00000000000000000009.log").write_bytes(content)
        with pytest.raises(StoreUnavailable, match="is no telemetry segment"):
            log.open()

    def test_a_segment_of_another_name_is_refused(self, log: Log) -> None:
        log.files[0].rename(log.folder / "00000000000000000009.log")
        with pytest.raises(StoreUnavailable, match="begins with message 1"):
            log.open()

    def test_a_folder_that_can_not_be_made_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="can't be used"):
            Segments(tmp_path / "no" / "telemetry", max_age_s=1, max_bytes=MIB)


groups = st.lists(st.lists(st.integers(0, 20_000), min_size=1, max_size=4), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(sizes=groups, choice=st.data())
def test_whatever_a_crash_tears_off_a_start_keeps_every_group_that_was_durable(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[int]], choice: st.DataObject
) -> None:
    """What is behind the last durable byte is lost, garbled or there; what is before it is there."""
    log = Log(tmp_path_factory.mktemp("telemetry") / "log", 64 * MIB)
    sent: list[Telemetry] = []
    for size in sizes:
        group = [
            replace(message(bytes(each)), properties={"n": str(len(sent) + n)}) for n, each in enumerate(size)
        ]
        log.append(*group)
        sent += group
    durable = log.segments.view.end
    torn = b"".join(segment.record(len(sent) + n, segment.payload(message(b"torn"))) for n in range(1, 4))
    kept = choice.draw(st.integers(0, len(torn)))
    with log.segments.view.path.open("r+b") as file:
        file.seek(durable)
        file.write(torn[:kept])
        if choice.draw(st.booleans()):
            file.write(choice.draw(st.binary(max_size=100)))
    log.reopen()
    found = log.read()
    assert found[: len(sent)] == sent
    assert all(each.body == b"torn" for each in found[len(sent) :])
    following = log.append(message(b"next"))
    assert following == len(found) + 1
    log.reopen()
    assert log.read() == [*found, message(b"next")]
    log.segments.close()
