"""One writer, many units: whatever waits while a commit is on its way to the disk shares the next one.

Statements run in the event loop's thread, where they cost microseconds; only COMMIT, which waits for the disk, goes to
a thread of its own, as one call that needs no interpreter. (Running the statements there as well made the two threads
hand the interpreter to each other several times for each device.) Units that share a commit do not share a fate: where
one does not find what it expects, the batch is run again with a savepoint for each, so that this one alone is undone. An
answer goes out only after the commit has returned. This file knows statements and row counts, not what they mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from accredit.interfaces import Stale, StoreUnavailable
from accredit.stores.steps import UnitOfWork, holds
from accredit.tallies import CommitTallies

MAX_BATCH = 64
"""Bounds how long a batch holds the event loop: some milliseconds."""

MAX_WAITING = 8192
GATHER_S = 0.002
"""Where units come several at a time, how long the next batch waits for more of them: a commit costs what it costs."""

RETRY_S = 0.01
"""How soon a database that another process has locked is tried again."""

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

    def __init__(
        self,
        connection: sqlite3.Connection,
        committed: Callable[[UnitOfWork], None],
        busy_timeout_s: float,
        tallies: CommitTallies | None = None,
    ) -> None:
        """`connection` is in autocommit mode, and this object's alone. `committed` is called in the event loop.

        `tallies` counts commits.

        A database that another process has locked is waited for `busy_timeout_s` seconds, without blocking anything.
        """
        self._connection = connection
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute
        # The event loop must not sleep in SQLite: a lock is waited for by asking again.
        self._execute("PRAGMA busy_timeout = 0")
        self._committed = committed
        self._busy_timeout_s = busy_timeout_s
        self._tallies = tallies if tallies is not None else CommitTallies()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._busy_since: float | None = None
        self._begun_at = 0.0
        self._at_work = False
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._calls: queue.SimpleQueue[tuple[Sequence[_Waiting], Sequence[Outcome]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._commits, name="accredit-store", daemon=True)
        self._thread.start()

    def submit(self, unit: UnitOfWork) -> asyncio.Future[None]:
        """The future is done when the unit is durable, or nothing of it stands. Cancelling it changes neither."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise StoreUnavailable(f"{MAX_WAITING} units of work are waiting already")
        future = self._loop.create_future()
        self._waiting.append((unit, future))
        if not self._at_work:
            # Not at once: what else this turn of the event loop brings shares the commit.
            self._at_work = True
            self._idle.clear()
            self._loop.call_soon(self._next)
        return future

    async def close(self) -> None:
        """Run what is queued, then close the connection."""
        if not self._closing:
            self._closing = True
            await self._idle.wait()
            self._calls.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _next(self) -> None:
        """Run a batch's statements and send it to be committed."""
        if not self._waiting:
            self._at_work = False
            self._idle.set()
            return
        try:
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._not_begun(error)
            return
        self._busy_since = None
        self._begun_at = time.monotonic()
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
        outcomes = self._outcomes([unit for unit, _ in batch])
        if self._connection.in_transaction:
            self._calls.put((batch, outcomes))
        else:
            self._settle(batch, outcomes)

    def _durable(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        """In the event loop, after the thread's COMMIT."""
        self._tallies.committed(len(batch), time.monotonic() - self._begun_at)
        self._settle(batch, outcomes)

    def _not_begun(self, error: sqlite3.Error) -> None:
        now = self._loop.time()
        if self._busy_since is None:
            self._busy_since = now
        locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        if locked and now - self._busy_since < self._busy_timeout_s:
            self._loop.call_later(RETRY_S, self._next)
            return
        self._busy_since = None
        batch = list(self._waiting)
        self._waiting.clear()
        self._settle(batch, [_unavailable(error)] * len(batch))

    def _commits(self) -> None:
        """The thread: one COMMIT after the other."""
        while (call := self._calls.get()) is not None:
            batch, outcomes = call
            try:
                self._connection.execute("COMMIT")
            except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it, and the thread goes on
                outcomes = [_unavailable(error) if outcome is None else outcome for outcome in outcomes]
            try:
                self._loop.call_soon_threadsafe(self._durable, batch, outcomes)
            except RuntimeError:
                break  # the loop was closed: nobody waits any more
        # A cursor that has not read all rows would keep the file open behind the closed connection.
        self._cursor.close()
        self._connection.close()

    def _settle(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._roll_back()
        # Before all else: what waits goes on, whatever those who hear of this do.
        if len(batch) > 1:
            self._loop.call_later(GATHER_S, self._next)
        else:
            self._loop.call_soon(self._next)
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
        """Within the transaction that was begun; it is left open when anything in it is to be committed."""
        try:
            if len(units) == 1:
                failure = self._run(units[0], set())
                if failure is not None:
                    self._roll_back()
                return [failure]
            return self._together(units) or self._apart(units)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            with contextlib.suppress(sqlite3.Error):
                self._roll_back()
            return [_unavailable(error) for _ in units]

    def _together(self, units: Sequence[UnitOfWork]) -> Sequence[Outcome] | None:
        """Nearly every batch has no failure in it, and needs no savepoints; None when one has, and is undone."""
        held: set[tuple[object, ...]] = set()
        for unit in units:
            if self._run(unit, held) is not None:
                self._roll_back()
                return None
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
