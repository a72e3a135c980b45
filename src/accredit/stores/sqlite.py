"""The embedded store: `interfaces.Store` on one SQLite file (WAL, synchronous=FULL).

Reads run in the event loop's thread on a connection of their own: a point read is cheaper than handing it to a
thread. Writes are made into units here and committed by `group_commit.py`. That one process owns the file is the
caller's to see to; that the file belongs to its owner alone, this file's.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from accredit.domain.changes import Change
from accredit.interfaces import StoreUnavailable
from accredit.seal import Sealer
from accredit.stores import rows, schema
from accredit.stores.group_commit import GroupCommit
from accredit.stores.reads import StoreReads
from accredit.stores.steps import Step, UnitOfWork
from accredit.stores.units import Units

BUSY_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 0.25


class SqliteStore(StoreReads):
    """Make one with `open`, in the event loop that uses it."""

    alone = True

    def __init__(self, path: Path, sealer: Sealer, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """`path` is a database that `schema.migrate` has seen."""
        super().__init__(sealer)
        self._units = Units(sealer)
        # The reader's pages are good until the next commit only; the writer's stay good.
        writing = _connection(path, busy_timeout_s, "cache_size = -32768", "wal_autocheckpoint = 2000")
        self._reading = _connection(
            path, min(busy_timeout_s, _READ_TIMEOUT_S), "cache_size = -4096", "query_only = ON"
        )
        self._read = self._reading.cursor().execute
        self._writer = GroupCommit(writing, self._committed, busy_timeout_s, self.commits)

    @classmethod
    async def open(cls, path: Path, sealer: Sealer, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Self:
        """Make or migrate the database, and open it. Raises schema.DatabaseUnusable."""
        try:
            # The files that SQLite puts beside it take their mode from it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise schema.DatabaseUnusable(
                f"The database {path} can't be opened: {error.strerror}."
            ) from error
        schema.migrate(path)
        try:
            return cls(path, sealer, busy_timeout_s)
        except sqlite3.Error as error:
            raise schema.DatabaseUnusable(f"The database {path} can't be used: {error}.") from error

    async def commit(self, unit: Sequence[Change]) -> None:
        await self._writer.submit(self._units.make(unit))

    async def close(self) -> None:
        # The writer's connection goes last: the last one to close folds the log into the database.
        self._reading.close()
        await self._writer.close()

    async def _submit(self, step: Step) -> None:
        await self._writer.submit(UnitOfWork([step]))

    async def _row(self, text: str, values: tuple[Any, ...]) -> rows.Row | None:
        found = self._found(text, values)
        return found[0] if found else None

    async def _rows(self, text: str, values: tuple[Any, ...]) -> list[rows.Row]:
        return self._found(text, values)

    def _found(self, text: str, values: tuple[Any, ...]) -> list[rows.Row]:
        # Read to the end at once: a statement left half-way would keep an old view of the database open.
        try:
            return self._read(text, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def _committed(self, unit: UnitOfWork) -> None:
        self._units.committed(unit)
        self._changed(unit)


def _connection(path: Path, busy_timeout_s: float, *pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=128
    )
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY", *pragmas):
        connection.execute(f"PRAGMA {pragma}")
    return connection
