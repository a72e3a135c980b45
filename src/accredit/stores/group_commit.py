"""One writer, many units: whatever waits while a commit is on its way to the disk shares the next one.

A thread of its own owns the writing connection. Units that share a commit do not share a fate: where one does not
find what it expects, the batch is run again with a savepoint for each, so that this one alone is undone. An answer
goes out only after the commit has returned. This file knows statements and row counts, not what they mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence

from accredit.interfaces import Stale, StoreUnavailable
from accredit.stores.units import UnitOfWork, holds

MAX_BATCH = 128
MAX_WAITING = 8192

_UNAVAILABLE = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY,
})  # fmt: skip

Outcome = Exception | None
"""Why nothing of a unit stands; None when all of it does."""

_Waiting = tuple[UnitOfWork, "asyncio.Future[None]"]


class GroupCommit:
    """Runs units of work in the order in which they came."""

    def __init__(self, connection: sqlite3.Connection, committed: Callable[[UnitOfWork], None]) -> None:
        """`connection` is in autocommit mode, and this object's alone. `committed` is called in the event loop."""
        self._connection = connection
        self._execute = connection.cursor().execute
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="accredit-store", daemon=True)
        self._thread.start()

    def submit(self, unit: UnitOfWork) -> asyncio.Future[None]:
        """The future is done when the unit is durable, or nothing of it stands. Cancelling it changes neither."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        if self._queue.qsize() >= MAX_WAITING:
            raise StoreUnavailable(f"{MAX_WAITING} units of work are waiting already")
        future = self._loop.create_future()
        self._queue.put((unit, future))
        return future

    async def close(self) -> None:
        """Run what is queued, then close the connection."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._batch()
            if batch:
                outcomes = self._outcomes([unit for unit, _ in batch])
                try:
                    self._loop.call_soon_threadsafe(self._settle, batch, outcomes)
                except RuntimeError:
                    # The loop was closed: nobody waits any more.
                    going_on = False
        self._connection.close()

    def _batch(self) -> tuple[list[_Waiting], bool]:
        """Wait for a unit, take what came with it; False once the store is closing."""
        batch: list[_Waiting] = []
        waiting = self._queue.get()
        while waiting is not None:
            batch.append(waiting)
            if len(batch) >= MAX_BATCH:
                return batch, True
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _settle(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        for (unit, _), outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                self._committed(unit)
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if outcome is None:
                future.set_result(None)
            else:
                future.set_exception(outcome)

    def _outcomes(self, units: Sequence[UnitOfWork]) -> Sequence[Outcome]:
        try:
            self._roll_back()
            if len(units) == 1:
                return [self._alone(units[0])]
            return self._together(units) or self._apart(units)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it, and the thread goes on
            with contextlib.suppress(sqlite3.Error):
                self._roll_back()
            return [_unavailable(error) for _ in units]

    def _alone(self, unit: UnitOfWork) -> Outcome:
        self._execute("BEGIN IMMEDIATE")
        failure = self._run(unit, set())
        if failure is not None:
            self._roll_back()
            return failure
        self._execute("COMMIT")
        return None

    def _together(self, units: Sequence[UnitOfWork]) -> Sequence[Outcome] | None:
        """Nearly every batch has no failure in it, and needs no savepoints; None when one has, and is undone."""
        self._execute("BEGIN IMMEDIATE")
        held: set[tuple[object, ...]] = set()
        for unit in units:
            if self._run(unit, held) is not None:
                self._roll_back()
                return None
        self._execute("COMMIT")
        return [None] * len(units)

    def _apart(self, units: Sequence[UnitOfWork]) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        self._execute("BEGIN IMMEDIATE")
        held: set[tuple[object, ...]] = set()
        for unit in units:
            self._execute("SAVEPOINT unit")
            failure = self._run(unit, held)
            if failure is not None:
                self._execute("ROLLBACK TO unit")
            self._execute("RELEASE unit")
            outcomes.append(failure)
        self._execute("COMMIT")
        return outcomes

    def _run(self, unit: UnitOfWork, held: set[tuple[object, ...]]) -> Outcome:
        """What is wrong with this unit, if anything; raises what is wrong with the database.

        `held` are the assertions that this batch has made already: they hold until a unit touches settings.
        """
        if unit.touches_settings:
            held.clear()
        execute = self._execute
        try:
            for text, values, expected, change in unit.steps:
                if expected is holds and not unit.touches_settings:
                    if (text, *values) in held:
                        continue
                    held.add((text, *values))
                cursor = execute(text, values)
                if expected is None:
                    continue
                met = (
                    cursor.rowcount == expected if isinstance(expected, int) else expected(cursor.fetchone())
                )
                if not met:
                    assert change is not None
                    held.discard((text, *values))
                    return Stale(change)
        except sqlite3.Error as error:
            if _is_of_the_database(error) or not self._connection.in_transaction:
                raise
            return error
        except Exception as error:  # noqa: BLE001 - a fault of this unit's values is its caller's to hear of
            return error
        return None

    def _roll_back(self) -> None:
        # A full disk or an I/O error may have ended the transaction already.
        if self._connection.in_transaction:
            self._execute("ROLLBACK")


def _is_of_the_database(error: sqlite3.Error) -> bool:
    # The low byte is the primary result code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _UNAVAILABLE


def _unavailable(error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error):
        return StoreUnavailable(str(error))
    return error
