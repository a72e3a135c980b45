"""Batches: what shares a commit, and what becomes of it when the database can't take it."""

import asyncio
import sqlite3

import pytest

from accredit.domain import changes as c
from accredit.interfaces import Stale, StoreUnavailable
from accredit.stores.group_commit import MAX_BATCH, MAX_WAITING, GroupCommit
from accredit.stores.steps import UnitOfWork, holds

CHANGE = c.AppendLeaf(None)


def put(key, value="x"):
    """Insert a row; stale where there is one."""
    return UnitOfWork(
        [("INSERT INTO rows (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, value), 1, CHANGE)]
    )


class Bench:
    def __init__(self, path, busy_timeout_s=0.02):
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value BLOB)")
        self.statements = []
        self.connection.set_trace_callback(self.statements.append)
        self.committed = []
        self.writer = GroupCommit(self.connection, self.committed.append, busy_timeout_s)

    async def outcomes(self, *units):
        return await asyncio.gather(*map(self.writer.submit, units), return_exceptions=True)

    def keys(self):
        reader = sqlite3.connect(self.path)
        try:
            return [row[0] for row in reader.execute("SELECT key FROM rows ORDER BY key")]
        finally:
            reader.close()

    def commits(self):
        return self.statements.count("COMMIT")


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "a.db")
    yield bench
    await bench.writer.close()


async def test_a_unit_stands_once_its_future_is_done(bench):
    await bench.writer.submit(put("a"))
    assert bench.keys() == ["a"]


async def test_what_comes_together_shares_a_commit_without_savepoints(bench):
    await bench.outcomes(*(put(f"{number:03}") for number in range(MAX_BATCH)))
    assert len(bench.keys()) == MAX_BATCH
    assert bench.commits() == 1
    assert not [text for text in bench.statements if text.startswith("SAVEPOINT")]


async def test_what_comes_during_a_commit_shares_the_next(bench):
    first = bench.writer.submit(put("first"))
    await asyncio.sleep(0)
    others = [bench.writer.submit(put(f"{number}")) for number in range(9)]
    await asyncio.gather(first, *others)
    assert len(bench.keys()) == 10
    assert bench.commits() == 2


async def test_a_batch_is_bounded_and_the_order_kept(bench):
    units = [put(f"{number:03}") for number in range(3 * MAX_BATCH)]
    assert await bench.outcomes(*units) == [None] * len(units)
    assert bench.committed == units
    assert bench.commits() == 3


async def test_a_stale_unit_of_a_batch_is_undone_alone(bench):
    await bench.writer.submit(put("first"))
    mixed = UnitOfWork(put("m").steps + put("first").steps)
    outcomes = await bench.outcomes(put("a"), mixed, put("b"))
    assert isinstance(outcomes[1], Stale)
    assert outcomes[1].change is CHANGE
    assert (outcomes[0], outcomes[2]) == (None, None)
    assert bench.keys() == ["a", "b", "first"]
    assert mixed not in bench.committed
    assert bench.commits() == 2


async def test_a_stale_unit_that_is_alone(bench):
    await bench.writer.submit(put("first"))
    (outcome,) = await bench.outcomes(UnitOfWork(put("m").steps + put("first").steps))
    assert isinstance(outcome, Stale)
    assert bench.keys() == ["first"]


async def test_a_faulty_unit_harms_nobody(bench):
    nonsense = UnitOfWork([("INSERT INTO nowhere VALUES (1)", (), None, None)])
    unfit = UnitOfWork([("INSERT INTO rows (key) VALUES (?)", (object(),), None, None)])
    outcomes = await bench.outcomes(nonsense, put("a"), unfit, put("b"))
    assert [isinstance(each, sqlite3.Error) for each in outcomes] == [True, False, True, False]
    assert bench.keys() == ["a", "b"]
    assert isinstance((await bench.outcomes(nonsense))[0], sqlite3.OperationalError)
    assert await bench.outcomes(put("c")) == [None]


async def test_a_full_disk_takes_nothing_of_a_batch(bench):
    big = "x" * 14_000
    bench.connection.execute("PRAGMA max_page_count = 20")
    assert await bench.outcomes(*(put(f"first {each}", big) for each in "abc")) == [None] * 3
    refused = await bench.outcomes(*(put(f"second {each}", big) for each in "abcd"))
    assert [type(outcome) for outcome in refused] == [StoreUnavailable] * 4
    assert "full" in str(refused[0])
    assert bench.keys() == ["first a", "first b", "first c"]
    assert await bench.outcomes(put("small")) == [None]
    (failure,) = await bench.outcomes(put("huge", big * 9))
    assert isinstance(failure, StoreUnavailable)
    bench.connection.execute("PRAGMA max_page_count = 10000")
    assert await bench.outcomes(put("huge", big * 9)) == [None]
    assert bench.keys() == ["first a", "first b", "first c", "huge", "small"]


async def test_a_locked_database_takes_nothing(bench):
    other = sqlite3.connect(bench.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await bench.outcomes(put("a"), put("b"))
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
    other.execute("ROLLBACK")
    other.close()
    assert bench.keys() == []
    assert await bench.outcomes(put("a"), put("b")) == [None, None]


async def test_a_lock_that_ends_in_time_is_waited_out_and_blocks_nobody(tmp_path):
    bench = Bench(tmp_path / "a.db", busy_timeout_s=30)
    other = sqlite3.connect(bench.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    future = bench.writer.submit(put("a"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not future.done()
    later = bench.writer.submit(put("b"))
    other.execute("ROLLBACK")
    other.close()
    await asyncio.gather(future, later)
    assert bench.keys() == ["a", "b"]
    await bench.writer.close()


async def test_who_waits_is_bounded(bench):
    waiting = [bench.writer.submit(put(str(number))) for number in range(MAX_WAITING)]
    with pytest.raises(StoreUnavailable, match="waiting"):
        bench.writer.submit(put("one too many"))
    await asyncio.gather(*waiting)
    assert len(bench.keys()) == MAX_WAITING
    assert await bench.outcomes(put("after")) == [None]


async def test_an_assertion_is_made_once_a_batch_and_again_after_settings_changed(bench):
    await bench.writer.submit(put("first"))
    text = "SELECT 1 FROM rows WHERE key = ?"
    asserting = UnitOfWork([(text, ("first",), holds, CHANGE)])
    settings = UnitOfWork([("DELETE FROM rows WHERE key = 'first'", (), 1, CHANGE)], touches_settings=True)
    await bench.outcomes(*[asserting] * 5)
    assert len([each for each in bench.statements if each.startswith("SELECT")]) == 1
    outcomes = await bench.outcomes(*[asserting] * 5, settings, asserting, put("a"), asserting)
    assert [type(outcome) for outcome in outcomes] == [*[type(None)] * 6, Stale, type(None), Stale]
    assert bench.keys() == ["a"]


async def test_a_cancelled_caller_leaves_the_batch_whole(bench):
    futures = [bench.writer.submit(put(each)) for each in "abc"]
    futures[1].cancel()
    await asyncio.gather(futures[0], futures[2])
    assert bench.keys() == ["a", "b", "c"]
    assert len(bench.committed) == 3, "what stands is known to stand, whoever waits"


async def test_closing_finishes_what_waits_and_twice_is_as_once(bench):
    futures = [bench.writer.submit(put(str(number))) for number in range(200)]
    await asyncio.gather(bench.writer.close(), bench.writer.close())
    assert await asyncio.gather(*futures) == [None] * 200
    assert len(bench.keys()) == 200
    with pytest.raises(StoreUnavailable, match="closed"):
        bench.writer.submit(put("late"))
