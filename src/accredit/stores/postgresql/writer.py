"""Group commit on PostgreSQL: what waits while a transaction is on its way shares the next one.

A transaction is serializable, so that what a unit asserts holds to its end whatever other processes do; where the server
finds no order in which that is so, the units are run again: their statements alone, never what led to them. Units
that share a transaction do not share a fate: where one does not find what it expects, all are run again with a savepoint
for each, and it alone is undone.

A connection may be lost while COMMIT is on its way. Each transaction raises its writer's number in the table of writers; a
new connection raises it too, from the same number, but by more: whichever of the two has raised it, the other one never will.
While there is no new connection nobody knows; those who wait hear that after a while, and what is found out later is theirs
to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from accredit.domain.changes import Change
from accredit.interfaces import CommitUnknown, Stale, StoreUnavailable
from accredit.observe import log
from accredit.stores.postgresql import texts
from accredit.stores.postgresql.link import Link
from accredit.stores.postgresql.pipeline import Answer, Failed, Lost, Pipeline, Result, Statement, bound
from accredit.stores.postgresql.writer_mark import Mark
from accredit.stores.steps import Expected, UnitOfWork, holds
from accredit.tallies import CommitTallies
from accredit.values import dataclass

MAX_BATCH = 64
MAX_WAITING = 8192
PATIENCE_S = 5.0
"""How long units wait for a server that is away, in seconds."""

ATTEMPTS = 12
"""How often a unit is run when others are in its way."""

SETTINGS = (
    # A transaction whose process went away holds its rows no longer than that.
    "SET idle_in_transaction_session_timeout = 10000",
    # Nor is a row waited for any longer. (A limit of whole statements would end a COMMIT that waits for a standby, as if it
    # had been replicated.)
    "SET lock_timeout = 10000",
    # Where the server's own setting is to answer before the disk has it.
    "SET synchronous_commit = on",
)

RETRY_S = 0.001
"""Bounds the first pause before units are run again; each further one may be twice as long."""

_LONGEST_PAUSE_S = 1.0

# SQLSTATEs (PostgreSQL, appendix A): by their classes connections, transaction states, resources, operators, the system.
_UNAVAILABLE = frozenset({"08", "25", "53", "57", "58", "XX"})
_READ_ONLY, _LOCKED, _FORBIDDEN = "25006", "55P03", "42501"
CONFLICT = "40"
"""The class of what did not fit into any order of transactions, and may in the next one."""
_UNDONE, _UNTOLD = frozenset({"23", "25", CONFLICT}), "40003"
"""What a COMMIT that was refused leaves nothing behind for, and that code of them which says that it is not known."""

_BEGIN: Statement = ("BEGIN ISOLATION LEVEL SERIALIZABLE", [], [])
_COMMIT: Statement = ("COMMIT", [], [])
_ROLLBACK: Statement = ("ROLLBACK", [], [])

Outcome = Exception | None
"""Why nothing of a unit stands; None when all of it does."""


class Refused(Exception):
    """The database does not take a statement of the unit: a fault of its values, or of this program."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} (SQLSTATE {code})")
        self.code = code


class _Conflict(Exception):
    """Other transactions are in the way: run it again."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    unit: UnitOfWork
    statements: list[Statement]
    done: asyncio.Future[None]


class Writer:
    """Runs units of work in the order in which they came."""

    def __init__(
        self,
        link: Link,
        committed: Callable[[UnitOfWork], None],
        patience_s: float = PATIENCE_S,
        tallies: CommitTallies | None = None,
    ) -> None:
        """`link` is this object's alone, its connections made with SETTINGS. `tallies` counts commits."""
        self._tallies = tallies if tallies is not None else CommitTallies()
        self._link = link
        self._committed = committed
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._working: asyncio.Task[None] | None = None
        self._closing = False
        self._most = MAX_BATCH
        self._mark = Mark()

    def submit(self, unit: UnitOfWork) -> asyncio.Future[None]:
        """The future is done when the unit is durable, or nothing of it stands. Cancelling it changes neither."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise StoreUnavailable(f"{MAX_WAITING} units of work are waiting already")
        if unit.touches_copies:
            unit.steps.append((texts.RAISE_EPOCH, (), None, None))
        statements = [bound(texts.words(text), values) for text, values, _, _ in unit.steps]
        waiting = _Waiting(unit, statements, self._loop.create_future())
        self._waiting.append(waiting)
        if self._working is None:
            self._working = self._loop.create_task(self._work())
        return waiting.done

    async def close(self) -> None:
        """Run what is queued."""
        self._closing = True
        if self._working is not None:
            await self._working
        pipeline = self._link.pipeline
        if pipeline is not None and self._mark.registered:
            with contextlib.suppress(Lost):
                await pipeline.run([bound(texts.FORGET_WRITER, (self._mark.writer,))])

    async def _work(self) -> None:
        try:
            # Not at once: what else this turn of the event loop brings shares the transaction.
            await asyncio.sleep(0)
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
                await self._through(batch)
        finally:
            self._working = None

    async def _through(self, batch: list[_Waiting]) -> None:
        """See this batch, or as much of it as comes through together, to its outcomes."""
        outcomes: list[Outcome] = []
        attempt, began = 0, time.monotonic()
        while not outcomes:
            attempt += 1
            try:
                outcomes = await self._outcomes(batch)
            except (_Conflict, Lost) as obstacle:
                batch = [each for each in batch if not _was_told(each)]
                if not batch:
                    return
                if attempt == ATTEMPTS:
                    why = f"the database did not get through with it in {ATTEMPTS} attempts: {obstacle}"
                    outcomes = [StoreUnavailable(why) for _ in batch]
                    break
                batch = self._fewer(batch)
                await asyncio.sleep(random.uniform(0, RETRY_S * 2 ** min(attempt, 6)))  # noqa: S311 - no secret
            except StoreUnavailable as away:
                outcomes = [type(away)(str(away)) for _ in batch]
            except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
                outcomes = [error] * len(batch)
                # Nobody knows in what state it has left the transaction.
                if self._link.pipeline is not None:
                    self._link.pipeline.abandon(f"a defect: {error}")
            else:
                self._most = min(2 * self._most, MAX_BATCH)
                self._tallies.committed(len(batch), time.monotonic() - began)
        self._settle(batch, outcomes)

    def _fewer(self, batch: list[_Waiting]) -> list[_Waiting]:
        """The fewer units a transaction has, the less it is in the way of others'."""
        first = batch[: (len(batch) + 1) // 2]
        self._waiting.extendleft(reversed(batch[len(first) :]))
        self._most = len(first)
        return first

    def _settle(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                self._committed(waiting.unit)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.done.done():
                continue
            if outcome is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(outcome)

    async def _outcomes(self, batch: Sequence[_Waiting]) -> list[Outcome]:
        """Of one transaction. Raises _Conflict, Lost where nothing of it stands, and StoreUnavailable."""
        pipeline = await self._link.live(self._patience_s)
        if not self._mark.registered and (failed := await self._mark.register(pipeline)) is not None:
            raise _trouble(failed) or StoreUnavailable(failed.message)
        outcomes = await self._together(pipeline, batch)
        if any(outcome is not None for outcome in outcomes):
            await pipeline.run([_ROLLBACK])
            if len(batch) == 1:
                return outcomes
            outcomes = await self._apart(pipeline, batch)
        await self._commit(pipeline, batch)
        return outcomes

    async def _together(self, pipeline: Pipeline, batch: Sequence[_Waiting]) -> list[Outcome]:
        """Nearly every batch has no failure in it, and needs no savepoints."""
        held: set[tuple[object, ...]] = set()
        runs = [_Run(waiting, _needed(waiting.unit, held)) for waiting in batch]
        answers = iter(
            await self._run(
                pipeline, [_BEGIN, self._mark.raised(), *(each for run in runs for each in run.sent)]
            )
        )
        await self._begun(pipeline, next(answers), next(answers))
        return [run.outcome(answers) for run in runs]

    async def _apart(self, pipeline: Pipeline, batch: Sequence[_Waiting]) -> list[Outcome]:
        """Each with a savepoint: the first that fails is undone, and those behind it run again."""
        outcomes: list[Outcome] = []
        head = [_BEGIN, self._mark.raised()]
        while len(outcomes) < len(batch):
            runs = [_Run(waiting, range(len(waiting.statements))) for waiting in batch[len(outcomes) :]]
            sent = list(head)
            for number, run in enumerate(runs, len(outcomes)):
                sent += [_savepoint("SAVEPOINT", number), *run.sent]
            answers = iter(await self._run(pipeline, sent))
            if not outcomes:
                await self._begun(pipeline, next(answers), next(answers))
            else:
                next(answers)
            head = []
            for run in runs:
                next(answers)
                outcome = run.outcome(answers)
                outcomes.append(outcome)
                if outcome is not None:
                    head = [_savepoint("ROLLBACK TO SAVEPOINT", len(outcomes) - 1)]
                    break
        if head:
            await self._run(pipeline, head)
        return outcomes

    async def _run(self, pipeline: Pipeline, statements: Sequence[Statement]) -> list[Answer]:
        """Within a transaction, which is over when this raises."""
        answers = await pipeline.run(statements)
        for answer in answers:
            if isinstance(answer, Failed) and (trouble := _trouble(answer)) is not None:
                if answer.code == _READ_ONLY:
                    # The server has become a standby: another one may be the primary now.
                    pipeline.abandon(answer.message)
                else:
                    await pipeline.run([_ROLLBACK])
                raise trouble
        return answers

    async def _begun(self, pipeline: Pipeline, begun: Answer, marked: Answer) -> None:
        if isinstance(begun, Result) and isinstance(marked, Result) and marked.count == 1:
            return
        await pipeline.run([_ROLLBACK])
        # Somebody has tidied the row away.
        self._mark = Mark()
        raise _Conflict(f"the transaction could not begin: {begun} {marked}")

    async def _commit(self, pipeline: Pipeline, batch: Sequence[_Waiting]) -> None:
        """Raises _Conflict, StoreUnavailable and Lost where nothing stands."""
        try:
            (answer,) = await pipeline.run([_COMMIT])
        except Lost as lost:
            answer = Failed(_UNTOLD, str(lost))
        if isinstance(answer, Result) and answer.did == "COMMIT":
            self._mark.number += 1
        elif not isinstance(answer, Failed):
            raise _Conflict("the transaction was undone where it should have been committed")
        elif answer.code[:2] in _UNDONE and answer.code != _UNTOLD:
            raise _trouble(answer) or StoreUnavailable(answer.message)
        else:
            telling = self._loop.create_task(self._tell(batch))
            try:
                if not await self._came_to_pass():
                    raise Lost(answer.message)
            finally:
                telling.cancel()

    async def _tell(self, batch: Sequence[_Waiting]) -> None:
        """Have nobody wait for longer than the patience: neither those of `batch` nor those who are behind it."""
        while True:
            await asyncio.sleep(self._patience_s)
            behind, self._waiting = self._waiting, deque()
            told = [(each, StoreUnavailable("the database can't be reached")) for each in behind]
            told += [
                (each, CommitUnknown("the database can't be asked now whether it has this")) for each in batch
            ]
            for waiting, why in told:
                if not waiting.done.done():
                    waiting.done.set_exception(why)

    async def _came_to_pass(self) -> bool:
        """Whether the transaction whose COMMIT was on its way is durable; it is known for good after that."""
        pause_s = RETRY_S
        while True:
            try:
                pipeline = await self._link.live(self._patience_s)
                _, found = await pipeline.run(self._mark.settled())
            except (Lost, StoreUnavailable) as away:
                found = Failed("", str(away))
            if isinstance(found, Result):
                committed = self._mark.found(found.rows)
                log.warning("commit-settled", committed=committed)
                return committed
            if self._closing:
                raise CommitUnknown("the database did not tell before the end whether it has this")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class _Run:
    """A unit's statements within one exchange. What was asserted by another one already is left out."""

    def __init__(self, waiting: _Waiting, needed: Sequence[int]) -> None:
        self._steps = [waiting.unit.steps[number] for number in needed]
        self.sent = [waiting.statements[number] for number in needed]

    def outcome(self, answers: Iterator[Answer]) -> Outcome:
        """Takes as many answers as it has sent statements."""
        outcome: Outcome = None
        for _, _, expected, change in self._steps:
            answer = next(answers)
            if outcome is not None:
                continue
            if isinstance(answer, Failed):
                outcome = Refused(answer.code, answer.message)
            elif answer is None:
                outcome = Refused("", "a statement before it was refused")
            else:
                outcome = _judged(answer, expected, change)
        return outcome


def _judged(answer: Result, expected: Expected, change: Change | None) -> Outcome:
    try:
        if _met(answer, expected):
            return None
    except Exception as error:  # noqa: BLE001 - a fault of this unit's values is its caller's to hear of
        return error
    assert change is not None
    return Stale(change)


def _met(answer: Result, expected: Expected) -> bool:
    if expected is None:
        return True
    if isinstance(expected, int):
        return answer.count == expected
    return expected(answer.rows[0] if answer.rows else None)


def _needed(unit: UnitOfWork, held: set[tuple[object, ...]]) -> Sequence[int]:
    """Which of its statements must run. `held` are the assertions that the transaction makes already: they hold until a
    unit touches settings."""
    if unit.touches_settings:
        held.clear()
        return range(len(unit.steps))
    needed = []
    for number, (text, values, expected, _) in enumerate(unit.steps):
        if expected is holds:
            if (text, *values) in held:
                continue
            held.add((text, *values))
        needed.append(number)
    return needed


def _was_told(waiting: _Waiting) -> bool:
    """Whether the caller has gone on without it: then it is not run again."""
    return waiting.done.done() and not waiting.done.cancelled()


def _savepoint(what: str, number: int) -> Statement:
    return f"{what} unit_{number}", [], []


def _trouble(answer: Failed) -> Exception | None:
    """What a refused statement says of the whole transaction; None where it is the unit's own fault."""
    if answer.code[:2] == CONFLICT:
        return _Conflict(answer.message)
    if answer.code[:2] in _UNAVAILABLE or answer.code in {_LOCKED, _FORBIDDEN}:
        return StoreUnavailable(f"the database can't take it now: {answer.message}")
    return None
