"""The file: order, bounds, what survives an error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub.telemetry_file import TelemetryFile, TelemetryReader, row
from accredit.interfaces import StoreUnavailable

NOW = 1_800_000_000.0
MIB = 1_048_576


def message(body: bytes = b"x", device: str = "lamp-1", at: float = NOW) -> Telemetry:
    return Telemetry(DeviceId(device), body, {"k": "v"}, {"message-id": "m"}, "{}", at)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


@pytest.fixture
def file(path: Path) -> Iterator[TelemetryFile]:
    file = TelemetryFile(path, max_age_s=100, max_bytes=MIB, busy_timeout_s=0)
    yield file
    file.close()


@pytest.fixture
def reader(path: Path, file: TelemetryFile) -> Iterator[TelemetryReader]:
    reader = TelemetryReader(path)
    yield reader
    reader.close()


def sequences(reader: TelemetryReader, after: int = 0) -> list[int]:
    return [sequence for sequence, _ in reader.read(None, after, 100_000)]


def test_a_group_is_numbered_in_order_and_read_back_whole(
    file: TelemetryFile, reader: TelemetryReader
) -> None:
    sent = [message(b"one"), message(b"two", "lamp-2"), message(b"")]
    assert file.append([row(each) for each in sent], NOW) == 1
    assert file.append([row(message(b"four"))], NOW) == 4
    read = reader.read(None, 0, 10)
    assert read == [(1, sent[0]), (2, sent[1]), (3, sent[2]), (4, message(b"four"))]


def test_a_page_begins_after_and_ends_at_the_limit(file: TelemetryFile, reader: TelemetryReader) -> None:
    file.append([row(message(b"%d" % n)) for n in range(9)], NOW)
    assert [sequence for sequence, _ in reader.read(None, 3, 2)] == [4, 5]
    assert reader.read(None, 9, 2) == []


def test_a_device_reads_apart(file: TelemetryFile, reader: TelemetryReader) -> None:
    file.append([row(message(device=name)) for name in ("a", "b", "a", "A")], NOW)
    assert [sequence for sequence, _ in reader.read(DeviceId("a"), 0, 10)] == [1, 3]
    assert [sequence for sequence, _ in reader.read(DeviceId("a"), 1, 10)] == [3]
    assert reader.read(DeviceId("c"), 0, 10) == []


def test_a_page_is_bounded_by_bytes_but_never_empty_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "large.db"
    file, reader = TelemetryFile(path, max_age_s=100, max_bytes=64 * MIB), TelemetryReader(path)
    file.append([row(message(bytes(3 * MIB))) for _ in range(4)], NOW)
    assert [sequence for sequence, _ in reader.read(None, 0, 100)] == [1, 2]
    assert [sequence for sequence, _ in reader.read(None, 2, 100)] == [3, 4]
    reader.close()
    file.close()


def test_the_file_stays_bounded_and_loses_the_oldest(
    path: Path, file: TelemetryFile, reader: TelemetryReader
) -> None:
    for _ in range(200):
        file.append([row(message(bytes(5_000))) for _ in range(8)], NOW)
    kept = sequences(reader)
    assert kept == list(range(kept[0], 1_601)), "a gap: not the oldest were deleted"
    assert kept[0] > 1
    assert len(kept) > 100
    # Bodies of 5,000 bytes fill their pages badly: the pages are what is bounded.
    assert path.stat().st_size <= MIB + 64 * 1024


def test_many_small_messages_are_bounded_too(
    path: Path, file: TelemetryFile, reader: TelemetryReader
) -> None:
    for _ in range(50):
        file.append([row(message(b"")) for _ in range(500)], NOW)
    assert path.stat().st_size <= MIB + 64 * 1024
    assert sequences(reader)[-1] == 25_000


def test_what_is_too_old_goes_with_the_next_group(file: TelemetryFile, reader: TelemetryReader) -> None:
    file.append([row(message(at=NOW)), row(message(at=NOW + 50))], NOW)
    file.append([row(message(at=NOW + 100))], NOW + 100)
    assert sequences(reader) == [1, 2, 3]
    file.append([row(message(at=NOW + 101))], NOW + 101)
    assert sequences(reader) == [2, 3, 4]


def test_sweeping_needs_no_new_message_and_numbers_go_on(
    path: Path, file: TelemetryFile, reader: TelemetryReader
) -> None:
    file.append([row(message())], NOW)
    file.sweep(NOW + 1_000)
    assert sequences(reader) == []
    file.close()
    again = TelemetryFile(path, max_age_s=100, max_bytes=MIB)
    assert again.append([row(message(at=NOW + 1_000))], NOW + 1_000) == 2
    again.close()


def test_a_locked_file_refuses_and_keeps_nothing_of_the_group(
    path: Path, file: TelemetryFile, reader: TelemetryReader
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        file.append([row(message()), row(message())], NOW)
    with pytest.raises(StoreUnavailable, match="locked"):
        file.sweep(NOW)
    other.execute("ROLLBACK")
    other.close()
    assert file.append([row(message())], NOW) == 1
    assert sequences(reader) == [1]


def test_a_full_disk_refuses_and_the_file_goes_on_afterwards(
    file: TelemetryFile, reader: TelemetryReader
) -> None:
    file.append([row(message())], NOW)
    # SQLite's own limit gives the same SQLITE_FULL as a disk without room.
    pages = file._connection.execute("PRAGMA page_count").fetchone()[0]
    file._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        file.append([row(message(bytes(50_000)))], NOW)
    file._connection.execute("PRAGMA max_page_count = 100000")
    assert file.append([row(message(bytes(50_000)))], NOW) == 2
    assert sequences(reader) == [1, 2]


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at " * 100)
    with pytest.raises(StoreUnavailable, match="can't be"):
        TelemetryFile(path, max_age_s=1, max_bytes=MIB)


def test_a_file_of_another_format_is_refused(path: Path, file: TelemetryFile) -> None:
    file._connection.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreUnavailable, match="format 7"):
        TelemetryFile(path, max_age_s=1, max_bytes=MIB)


def test_a_file_of_the_first_version_is_taken_over(path: Path) -> None:
    """Its messages were all of the one hub there was."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE messages (sequence INTEGER PRIMARY KEY AUTOINCREMENT, device_id TEXT NOT NULL, "
        "enqueued_at REAL NOT NULL, size INTEGER NOT NULL, auth_method TEXT NOT NULL, properties TEXT NOT NULL, "
        "system TEXT NOT NULL, body BLOB NOT NULL) STRICT; "
        "CREATE INDEX messages_of_device ON messages (device_id, sequence); "
        "INSERT INTO messages VALUES (1, 'lamp-1', 1.5, 3, '{}', '{}', '{}', x'6f6c64'); "
        "PRAGMA user_version = 1;"
    )
    connection.close()
    for _ in range(2):
        TelemetryFile(path, max_age_s=1e12, max_bytes=MIB).close()
    reader = TelemetryReader(path)
    ((sequence, old),) = reader.read(None, 0, 10)
    assert (sequence, old.body, old.hub) == (1, b"old", "")
    reader.close()


def test_the_messages_of_one_hub(file: TelemetryFile, reader: TelemetryReader) -> None:
    hubs = ["", "a.example", "b.example", "a.example"]
    file.append([row(replace(message(b"x"), hub=hub)) for hub in hubs], NOW)
    assert [sequence for sequence, _ in reader.read(None, 0, 9, ("a.example", ""))] == [1, 2, 4]
    assert [sequence for sequence, _ in reader.read(None, 2, 9, ("a.example", "a.example"))] == [4]
    assert [sequence for sequence, _ in reader.read(None, 0, 9, ("c.example", "c.example"))] == []


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="can't be opened"):
        TelemetryFile(tmp_path / "no" / "telemetry.db", max_age_s=1, max_bytes=MIB)
    with pytest.raises(StoreUnavailable, match="can't be opened"):
        TelemetryReader(tmp_path / "no" / "telemetry.db")


def test_only_its_owner_may_read_the_file(path: Path, file: TelemetryFile) -> None:
    assert path.stat().st_mode & 0o077 == 0


texts = st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4)


@settings(max_examples=25, deadline=None)
@given(body=st.binary(max_size=200), properties=texts, system=texts)
def test_every_message_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, properties: dict[str, str], system: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("telemetry") / "one.db"
    file, reader = TelemetryFile(path, max_age_s=100, max_bytes=MIB), TelemetryReader(path)
    sent = replace(message(body), properties=properties, system=system, hub="b.example")
    file.append([row(sent)], NOW)
    assert reader.read(None, 0, 1) == [(1, sent)]
    reader.close()
    file.close()
