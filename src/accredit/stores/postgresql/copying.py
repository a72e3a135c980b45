"""A SQLite database to PostgreSQL, table by table: what differs is found by going through both in the order of their keys.

Nothing is remembered between runs. Whoever is broken off, or begins while the source is still written to, goes through
everything again, and copies what is missing; when a run finds no difference, the two are the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import psycopg

from accredit.stores.log_audit import audited
from accredit.stores.postgresql.pipeline import kept
from accredit.stores.rows import Row
from accredit.values import dataclass

PORTION_ROWS = 2000

_OWN = ("schema_steps", "imports", "writers", "epochs")
"""Tables of PostgreSQL that have no source."""

_SOURCES = {
    "log_unplaced": (
        "SELECT id AS leaf_id FROM log_leaves "
        "WHERE NOT EXISTS (SELECT 1 FROM log_sequence WHERE log_sequence.leaf_id = log_leaves.id)"
    ),
    "operations": "SELECT *, rowid AS number FROM operations",
}
"""Where a table's rows are not those of the table of its name."""

_COLUMNS = """
SELECT c.table_name, c.column_name, c.data_type, c.is_identity FROM information_schema.columns c
JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position"""
_KEYS = """
SELECT k.table_name, k.column_name FROM information_schema.table_constraints c
JOIN information_schema.key_column_usage k
  ON k.constraint_name = c.constraint_name AND k.table_name = c.table_name AND k.table_schema = c.table_schema
WHERE c.constraint_type = 'PRIMARY KEY' AND c.table_schema = current_schema()
ORDER BY k.table_name, k.ordinal_position"""

_HEADS = "SELECT size, root, signed_at, public_key, signature FROM log_heads ORDER BY size"
_ENTRIES = """
SELECT s.sequence, l.kind, l.authority, l.sha256, l.logged_at, l.leaf_hash, c.leaf
FROM log_sequence s JOIN log_leaves l ON l.id = s.leaf_id LEFT JOIN certificates c ON c.sha256 = l.sha256
WHERE s.sequence >= %s ORDER BY s.sequence LIMIT %s"""

Key = tuple[Any, ...]
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` begin with the key. `octets` are the numbers of those that are not text."""

    name: str
    columns: tuple[str, ...]
    key_size: int
    octets: frozenset[int]
    counted: tuple[str, ...]
    """Columns whose values PostgreSQL gives out itself, for rows to come."""

    @property
    def source(self) -> str:
        return _SOURCES.get(self.name, f"SELECT * FROM {self.name}")  # noqa: S608 - a table of ours

    @property
    def key(self) -> tuple[str, ...]:
        return self.columns[: self.key_size]

    def key_of(self, row: Row) -> Key:
        return tuple(row[: self.key_size])


@dataclass(frozen=True, slots=True)
class Compared:
    """What going through a table has found: rows there, and how many of them had to be copied, or taken away."""

    table: str
    rows: int
    copied: int
    removed: int
    digest: str
    """SHA-256 of the source's rows in the order of their keys."""


def tables(target: psycopg.Connection[Any]) -> list[Table]:
    """Those that are copied, of a target that has them."""
    keys: dict[str, list[str]] = {}
    for table, column in target.execute(_KEYS):
        keys.setdefault(table, []).append(column)
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for table, column, kind, identity in target.execute(_COLUMNS):
        if table not in _OWN:
            columns.setdefault(table, []).append((column, kind, identity))
    return [_table(name, keys[name], found) for name, found in columns.items()]


def _table(name: str, key: Sequence[str], columns: Sequence[tuple[str, str, str]]) -> Table:
    kinds = {column: kind for column, kind, _ in columns}
    ordered = (*key, *(column for column in kinds if column not in key))
    octets = frozenset(number for number, column in enumerate(ordered) if kinds[column] == "bytea")
    counted = tuple(column for column, _, identity in columns if identity == "YES")
    return Table(name, ordered, len(key), octets, counted)


def is_empty(target: psycopg.Connection[Any]) -> bool:
    return not any(_has_rows(table, target) for table in tables(target))


def carry_over(
    table: Table,
    source: sqlite3.Connection,
    target: psycopg.Connection[Any],
    told: Callable[[int], None],
) -> Compared:
    """Make the target's table what the source's is; `told` hears how many rows were gone through.

    Raises sqlite3.Error, psycopg.Error. What is in the way of a row is removed before it is copied.
    """
    ours, theirs = _Stream(_source_rows(table, source), told), _target_rows(table, target)
    if not _has_rows(table, target):
        _copy(table, target, ours)
        return Compared(table.name, ours.rows, ours.rows, 0, ours.digest())
    missing: list[Key] = []
    wrong: list[Key] = []
    removed = 0
    for key, in_source, in_target in _differences(table, ours, theirs):
        if in_source:
            missing.append(key)
        if in_target:
            wrong.append(key)
            removed += not in_source
    for portion in _portions(wrong):
        _remove(table, target, portion)
    _copy(table, target, (_source_row(table, source, key) for key in missing))
    return Compared(table.name, ours.rows, len(missing), removed, ours.digest())


def digest(table: Table, target: psycopg.Connection[Any]) -> tuple[int, str]:
    """How many rows the target has, and the SHA-256 of them in the order of their keys."""
    stream = _Stream(_target_rows(table, target), lambda _: None)
    for _ in stream:
        pass
    return stream.rows, stream.digest()


def count_on(table: Table, target: psycopg.Connection[Any]) -> None:
    """Have PostgreSQL give out numbers that are not taken."""
    for column in table.counted:
        highest = target.execute(f"SELECT MAX({column}) FROM {table.name}").fetchone()  # noqa: S608 - names of ours
        if highest is not None and highest[0] is not None:
            values = (table.name, column, highest[0])
            target.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", values)


def audit(target: psycopg.Connection[Any]) -> int:
    """The issuance log computed anew from the target's rows: as `log_audit.audit`."""
    return audited(target.execute(_HEADS), _entries(target))


def _entries(target: psycopg.Connection[Any]) -> Iterator[Row]:
    place = 0
    while True:
        with target.cursor(binary=True) as cursor:
            portion = cursor.execute(_ENTRIES, (place, PORTION_ROWS)).fetchall()
        yield from portion
        if len(portion) < PORTION_ROWS:
            return
        place = portion[-1][0] + 1


class _Stream:
    """Rows on their way, counted and digested."""

    def __init__(self, rows: Iterator[Row], told: Callable[[int], None]) -> None:
        self._rows = rows
        self._told = told
        self._hash = sha256()
        self.rows = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self._hash.update(_encode(row))
            self.rows += 1
            if self.rows % PORTION_ROWS == 0:
                self._told(self.rows)
            yield row
        self._told(self.rows)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _differences(
    table: Table, ours: Iterable[Row], theirs: Iterable[Row]
) -> Iterator[tuple[Key, bool, bool]]:
    """Keys whose rows are not the same, and in which of the two there is one."""
    left, right = iter(ours), iter(theirs)
    mine, other = next(left, None), next(right, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and table.key_of(mine) < table.key_of(other)):
            assert mine is not None
            yield table.key_of(mine), True, False
            mine = next(left, None)
        elif mine is None or table.key_of(other) < table.key_of(mine):
            yield table.key_of(other), False, True
            other = next(right, None)
        else:
            if mine != other:
                yield table.key_of(mine), True, True
            mine, other = next(left, None), next(right, None)


def _source_rows(table: Table, source: sqlite3.Connection) -> Iterator[Row]:
    text = f"SELECT {', '.join(table.columns)} FROM ({table.source}) ORDER BY {', '.join(table.key)}"  # noqa: S608 - names of ours
    for row in source.execute(text):
        yield _fit(table, row)


def _source_row(table: Table, source: sqlite3.Connection, key: Key) -> Row:
    matches = " AND ".join(f"{name} = ?" for name in table.key)
    text = f"SELECT {', '.join(table.columns)} FROM ({table.source}) WHERE {matches}"  # noqa: S608 - names of ours
    return _fit(table, source.execute(text, key).fetchone())


def _fit(table: Table, row: Row) -> Row:
    """As PostgreSQL keeps it: SQLite takes text in a column of octets, and any character in a text."""
    # Every row comes through here, and hardly one has either.
    for number in table.octets:
        if type(row[number]) is str:
            break
    else:
        for value in row:
            if type(value) is str and "\0" in value:
                break
        else:
            return row
    return tuple(
        value if not isinstance(value, str) else value.encode() if number in table.octets else kept(value)
        for number, value in enumerate(row)
    )


def _target_rows(table: Table, target: psycopg.Connection[Any]) -> Iterator[Row]:
    keys = ", ".join(table.key)
    begin = f"SELECT {', '.join(table.columns)} FROM {table.name}"  # noqa: S608 - names of ours
    rest = f"ORDER BY {keys} LIMIT {PORTION_ROWS}"
    after = f"WHERE ({keys}) > ({', '.join(['%s'] * table.key_size)})"
    last: Key | None = None
    while True:
        with target.cursor(binary=True) as cursor:
            if last is None:
                cursor.execute(f"{begin} {rest}")
            else:
                cursor.execute(f"{begin} {after} {rest}", last)
            portion = cursor.fetchall()
        yield from portion
        if len(portion) < PORTION_ROWS:
            return
        last = table.key_of(portion[-1])


def _copy(table: Table, target: psycopg.Connection[Any], rows: Iterable[Row]) -> None:
    text = f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN"
    for portion in _portions(rows):
        with target.cursor() as cursor, cursor.copy(text) as copy:
            for row in portion:
                copy.write_row(row)


def _remove(table: Table, target: psycopg.Connection[Any], keys: Sequence[Key]) -> None:
    matches = " AND ".join(f"{name} = %s" for name in table.key)
    with target.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {table.name} WHERE {matches}", keys)  # noqa: S608 - names of ours


def _portions(items: Iterable[Any]) -> Iterator[list[Any]]:
    portion: list[Any] = []
    for item in items:
        portion.append(item)
        if len(portion) == PORTION_ROWS:
            yield portion
            portion = []
    if portion:
        yield portion


def _has_rows(table: Table, target: psycopg.Connection[Any]) -> bool:
    return target.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() is not None  # noqa: S608 - a table of ours
