"""Fill a stopped service's database with devices, each as a registration leaves it: minutes for a million.

One device is provisioned for real by an X.509 enrollment; all others are copies of its rows under names, keys and hashes of their own,
spread as real ones are. The issuance log's tree is left to the service, which grows it after its next start.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

TEMPLATE = "template"
_TOGETHER = 20_000

Fresh = Callable[[int], Any]
"""A column's value for the device of this number."""


def name_of(number: int) -> str:
    """Names come in the order of numbers; keys and hashes do not."""
    return f"load-{number:08d}"


def _random(size: int) -> Fresh:
    return lambda _: os.urandom(size)


def _serial(_: int) -> bytes:
    return b"\x01" + os.urandom(15)


@dataclass(frozen=True, slots=True)
class _Table:
    """Which row is copied, and what is another one's own in the copies."""

    name: str
    where: str
    fresh: dict[str, Fresh]


_TABLES = (
    _Table("enrollments", "enrollment_key = ?", {"enrollment_key": name_of, "enrollment": name_of}),
    _Table(
        "registrations",
        "registration_key = ?",
        {
            "registration_key": name_of,
            "registration": name_of,
            "enrollment_key": name_of,
            "device_id": name_of,
            "operation_id": lambda number: f"4.{number:032x}",
            "certificate_sha256": _random(32),
        },
    ),
    _Table(
        "certificates",
        "registration_key = ?",
        {
            "sha256": _random(32),
            "spki_sha256": _random(32),
            "serial": _serial,
            "csr_sha256": _random(32),
            "registration_key": name_of,
            "registration": name_of,
            "device_id": name_of,
        },
    ),
    _Table(
        "hub_devices",
        "registration_key = ?",
        {
            "device_id": name_of,
            "registration_key": name_of,
            "registration": name_of,
            "thumbprint": _random(32),
        },
    ),
    _Table(
        "log_leaves",
        "sha256 = (SELECT sha256 FROM certificates WHERE registration_key = ?)",
        {"sha256": _random(32), "leaf_hash": _random(32)},
    ),
)


def load(database: Path, first: int, count: int) -> None:
    """Add the devices from number `first` on."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        # A loader that is broken off is begun anew.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        for begin in range(first, first + count, _TOGETHER):
            numbers = range(begin, min(begin + _TOGETHER, first + count))
            connection.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                _copy(connection, table, numbers)
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()


def _copy(connection: sqlite3.Connection, table: _Table, numbers: range) -> None:
    cursor = connection.execute(f"SELECT * FROM {table.name} WHERE {table.where}", (TEMPLATE,))
    row = cursor.fetchone()
    if row is None:
        raise RuntimeError(f"the template has no row in {table.name}")
    columns = [each[0] for each in cursor.description]
    kept = {name: value for name, value in zip(columns, row, strict=True) if name != "id"}
    marks = ", ".join("?" * len(kept))
    text = f"INSERT INTO {table.name} ({', '.join(kept)}) VALUES ({marks})"
    connection.executemany(text, _rows(kept, table.fresh, numbers))


def _rows(kept: dict[str, Any], fresh: dict[str, Fresh], numbers: range) -> Iterator[tuple[Any, ...]]:
    makers = [fresh.get(name, lambda _, value=value: value) for name, value in kept.items()]
    return (tuple(make(number) for make in makers) for number in islice(numbers, None))
