"""A data folder of before there were segments: every message comes along, with its number, whatever is in the way."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from accredit.domain.device import Telemetry
from accredit.hub.segment_reader import SegmentReader
from accredit.hub.segments import Segments
from accredit.hub.telemetry_database import take_over
from accredit.interfaces import StoreUnavailable

FIRST_FORMAT = """
CREATE TABLE messages (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  device_id TEXT NOT NULL, enqueued_at REAL NOT NULL, size INTEGER NOT NULL, auth_method TEXT NOT NULL,
  properties TEXT NOT NULL, system TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX messages_of_device ON messages (device_id, sequence);
PRAGMA user_version = 1;
"""
SECOND_FORMAT = """
ALTER TABLE messages ADD COLUMN hub TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 2;
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "telemetry"


def database(file: Path, *scripts: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    for script in scripts:
        connection.executescript(script)
    return connection


def fill(connection: sqlite3.Connection, first: int, count: int, hub: str | None = None) -> None:
    columns = "sequence, device_id, enqueued_at, size, auth_method, properties, system, body"
    for number in range(first, first + count):
        row = (number, "lamp-1", 1.5, 1, "{}", json.dumps({"n": f"ü{number}"}), "{}", b"%d" % number)
        if hub is None:
            connection.execute(f"INSERT INTO messages ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        else:
            connection.execute(
                f"INSERT INTO messages ({columns}, hub) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, hub)
            )
    connection.commit()


def taken(folder: Path) -> tuple[list[tuple[int, Telemetry]], int]:
    """The messages, and the last number that was given."""
    segments = Segments(folder, max_age_s=1e12, max_bytes=1 << 30)
    found = SegmentReader(lambda: segments.view).read(None, 0, 100_000)
    segments.close()
    return found, segments.last_sequence


def test_every_message_comes_along_with_its_number(file: Path, folder: Path) -> None:
    connection = database(file, FIRST_FORMAT, SECOND_FORMAT)
    fill(connection, 7, 5_000, "a.example")
    # As a service leaves it that is killed: with what it committed last beside the file.
    file.with_name("copy.db-wal").write_bytes(file.with_name("telemetry.db-wal").read_bytes())
    file.with_name("copy.db").write_bytes(file.read_bytes())
    connection.close()
    take_over(file.with_name("copy.db"), folder)
    found, last = taken(folder)
    assert [sequence for sequence, _ in found] == list(range(7, 5_007))
    assert last == 5_006
    _, one = found[0]
    assert (one.device_id.text, one.body, one.properties, one.hub) == (
        "lamp-1",
        b"7",
        {"n": "ü7"},
        "a.example",
    )
    assert sorted(each.name for each in folder.parent.iterdir()) == ["telemetry", "telemetry.db"]


def test_messages_of_the_first_format_were_all_of_one_hub(file: Path, folder: Path) -> None:
    connection = database(file, FIRST_FORMAT)
    fill(connection, 1, 3)
    connection.close()
    take_over(file, folder)
    found, _ = taken(folder)
    assert [(sequence, each.hub) for sequence, each in found] == [(1, ""), (2, ""), (3, "")]


def test_numbers_go_on_when_all_messages_were_deleted(file: Path, folder: Path) -> None:
    connection = database(file, FIRST_FORMAT, SECOND_FORMAT)
    fill(connection, 41, 2, "")
    connection.execute("DELETE FROM messages")
    connection.commit()
    connection.close()
    take_over(file, folder)
    assert taken(folder) == ([], 42)


def test_what_was_never_used_leaves_an_empty_log(file: Path, folder: Path) -> None:
    database(file, FIRST_FORMAT).close()
    take_over(file, folder)
    assert taken(folder) == ([], 0)


def test_broken_off_it_begins_again_or_finds_that_it_is_done(file: Path, folder: Path) -> None:
    connection = database(file, FIRST_FORMAT, SECOND_FORMAT)
    fill(connection, 1, 3, "")
    connection.close()
    half = folder.with_suffix(".new")
    half.mkdir()
    (half / "00000000000000000001.log").write_bytes(b"half a header")
    content = file.read_bytes()
    take_over(file, folder)
    assert len(taken(folder)[0]) == 3
    # The folder has its name, but the file was not deleted yet.
    file.write_bytes(content)
    take_over(file, folder)
    assert len(taken(folder)[0]) == 3
    assert not file.exists()
    take_over(file, folder)
    assert len(taken(folder)[0]) == 3


def test_another_format_is_refused_and_stays(file: Path, folder: Path) -> None:
    database(file, FIRST_FORMAT, "PRAGMA user_version = 7;").close()
    with pytest.raises(StoreUnavailable, match="format 7"):
        take_over(file, folder)
    assert file.exists()
    assert not folder.exists()


def test_what_is_no_database_is_refused_and_stays(file: Path, folder: Path) -> None:
    file.write_bytes(b"not a database, but long enough to be looked at " * 100)
    with pytest.raises(StoreUnavailable, match="can't be taken over"):
        take_over(file, folder)
    assert file.exists()
    assert not folder.exists()
