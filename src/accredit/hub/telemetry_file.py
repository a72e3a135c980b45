"""One SQLite file of device-to-cloud messages: appended in groups, read in order, deleted oldest first.

The file is bounded by what its pages hold, so that neither bodies nor indexes can grow past the limit: before a group
is written, messages are deleted in batches from the oldest until it fits, and SQLite reuses their pages. Sequence
numbers only rise, also across deletion and restart. Nothing here knows of threads or of an event loop: `telemetry.py`
gives each object to one thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.interfaces import StoreUnavailable

Row = tuple[str, float, int, str, str, str, bytes, str]
"""A message as it is stored: device id, instant, size, auth method, properties, system properties, body, hub."""

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE messages (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  device_id TEXT NOT NULL,
  enqueued_at REAL NOT NULL,
  size INTEGER NOT NULL,
  auth_method TEXT NOT NULL,
  properties TEXT NOT NULL,
  system TEXT NOT NULL,
  body BLOB NOT NULL,
  hub TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX messages_of_device ON messages (device_id, sequence);
"""
_WITH_HUB = "ALTER TABLE messages ADD COLUMN hub TEXT NOT NULL DEFAULT '';"
"""From version 1, whose messages were all of one hub."""
_INSERT = """
INSERT INTO messages (sequence, device_id, enqueued_at, size, auth_method, properties, system, body, hub)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OLDEST = "SELECT sequence, size, enqueued_at FROM messages ORDER BY sequence LIMIT ?"
_DELETE_THROUGH = "DELETE FROM messages WHERE sequence <= ?"
_LAST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages'"
_READ = """
SELECT sequence, device_id, enqueued_at, size, auth_method, properties, system, body, hub
FROM messages WHERE sequence > ?"""
_OF_DEVICE = " AND device_id = ?"
_OF_HUB = " AND hub IN (?, ?)"
_IN_ORDER = " ORDER BY sequence LIMIT ?"

_BATCH_ROWS = 4_096
_BATCHES_PER_FILE = 64
BUSY_TIMEOUT_S = 1.0
_READ_BYTES = 4 * 1_048_576

_texts = msgspec.json.Decoder(dict[str, str])


def row(message: Telemetry) -> Row:
    """The stored form of a message."""
    properties = msgspec.json.encode(message.properties).decode()
    system = msgspec.json.encode(message.system).decode()
    size = len(message.body) + len(properties) + len(system) + len(message.auth_method)
    device_id = message.device_id.text
    return (
        device_id,
        message.enqueued_at,
        size,
        message.auth_method,
        properties,
        system,
        message.body,
        message.hub,
    )


def _connection(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute(f"PRAGMA journal_size_limit = {16 * 1_048_576}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class TelemetryFile:
    """The writing side. `max_bytes` bounds the file without its write-ahead log, `max_age_s` the age of a message.

    Methods raise StoreUnavailable when the disk is full or the file is locked; nothing of the group stands then.
    """

    def __init__(
        self, path: Path, *, max_age_s: float, max_bytes: int, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        try:
            path.touch(mode=0o600)
            self._connection = _connection(path, busy_timeout_s)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"the telemetry file {path} can't be opened: {error}") from error
        try:
            self._prepare(path)
            self.last_sequence: int = self._connection.execute(_LAST).fetchone()[0]
            self._page_bytes: int = self._connection.execute("PRAGMA page_size").fetchone()[0]
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreUnavailable(f"the telemetry file {path} can't be used: {error}") from error

    def _prepare(self, path: Path) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        step = {0: _SCHEMA, 1: _WITH_HUB}.get(version)
        if step is not None:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            self._connection.close()
            raise StoreUnavailable(
                f"the telemetry file {path} has format {version}; this version reads {SCHEMA_VERSION}"
            )

    def append(self, rows: Sequence[Row], now: float) -> int:
        """Make a group durable, and return the sequence number of its first message; the others follow it."""
        first = self.last_sequence + 1
        incoming = sum(size for _, _, size, *_ in rows)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._delete_old(now)
            self._make_room(incoming)
            self._connection.executemany(_INSERT, [(first + place, *row) for place, row in enumerate(rows)])
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise StoreUnavailable(f"telemetry can't be written: {error}") from error
        self.last_sequence += len(rows)
        return first

    def sweep(self, now: float) -> None:
        """Delete one batch of messages that are too old."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._delete_old(now)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise StoreUnavailable(f"old telemetry can't be deleted: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def _undo(self) -> None:
        # SQLite itself rolls back on some errors (a full disk), not on others.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _delete_old(self, now: float) -> None:
        oldest = self._connection.execute(_OLDEST, (1,)).fetchone()
        if oldest is None or oldest[2] >= now - self._max_age_s:
            return
        through = oldest[0]
        for sequence, _, enqueued_at in self._connection.execute(_OLDEST, (_BATCH_ROWS,)):
            if enqueued_at >= now - self._max_age_s:
                break
            through = sequence
        self._connection.execute(_DELETE_THROUGH, (through,))

    def _make_room(self, incoming: int) -> None:
        batch_bytes = self._max_bytes // _BATCHES_PER_FILE
        while self._used_bytes() + incoming > self._max_bytes:
            through, freed = None, 0
            for sequence, size, _ in self._connection.execute(_OLDEST, (_BATCH_ROWS,)):
                through, freed = sequence, freed + size
                if freed >= batch_bytes:
                    break
            if through is None:
                return
            self._connection.execute(_DELETE_THROUGH, (through,))

    def _used_bytes(self) -> int:
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
        return int((pages - free) * self._page_bytes)


class TelemetryReader:
    """The reading side of the same file; it sees every group that was committed before the call."""

    def __init__(self, path: Path) -> None:
        try:
            self._connection = _connection(path, BUSY_TIMEOUT_S)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the telemetry file {path} can't be opened: {error}") from error

    def read(
        self, device_id: DeviceId | None, after: int, limit: int, hub: tuple[str, str] | None = None
    ) -> list[tuple[int, Telemetry]]:
        """At most `limit` messages above `after`, and no more than about 4 MiB of them, but at least one if any.

        `hub` has the two names that a hub's messages may carry.
        """
        text = _READ
        values: list[int | str] = [after]
        if device_id is not None:
            text, values = text + _OF_DEVICE, [*values, device_id.text]
        if hub is not None:
            text, values = text + _OF_HUB, [*values, *hub]
        found: list[tuple[int, Telemetry]] = []
        total = 0
        try:
            rows = self._connection.execute(text + _IN_ORDER, (*values, limit))
            for sequence, device, enqueued_at, size, auth_method, properties, system, body, at in rows:
                message = Telemetry(
                    device_id=DeviceId(device),
                    body=body,
                    properties=_texts.decode(properties),
                    system=_texts.decode(system),
                    auth_method=auth_method,
                    enqueued_at=enqueued_at,
                    hub=at,
                )
                found.append((sequence, message))
                total += size
                if total >= _READ_BYTES:
                    break
            rows.close()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"telemetry can't be read: {error}") from error
        return found

    def close(self) -> None:
        self._connection.close()
