"""Batches on PostgreSQL: what shares a transaction, and what becomes of it when others, the server or the wire are in the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from accredit.domain import changes as c
from accredit.interfaces import CommitUnknown, Stale, StoreUnavailable
from accredit.stores.postgresql import schema
from accredit.stores.postgresql.address import Address
from accredit.stores.postgresql.link import Link
from accredit.stores.postgresql.writer import MAX_BATCH, MAX_WAITING, SETTINGS, Refused, Writer
from accredit.stores.steps import UnitOfWork, absent, holds
from support.cut_wire import cut_wire
from support.waiting import LIMIT_S

CHANGE = c.AppendLeaf(None)


def put(key, value=0):
    """Insert a row; stale where there is one."""
    text = "INSERT INTO rows (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING"
    return UnitOfWork([(text, (key, value), 1, CHANGE)])


def count(key="counter"):
    """Reads and writes one row: two at once are in each other's way."""
    return UnitOfWork([("UPDATE rows SET value = value + 1 WHERE key = ?", (key,), 1, CHANGE)])


def only_one_of(mine, others):
    """Write `mine` unless the other one is there: that nobody writes it meanwhile is the database's to see."""
    return UnitOfWork([("SELECT 1 FROM rows WHERE key = ?", (others,), absent, CHANGE), *put(mine).steps])


class Bench:
    def __init__(self, postgres):
        self.postgres = postgres
        self.committed = []
        self.parts = contextlib.AsyncExitStack()

    async def writer(self, port=None, **options):
        url = self.postgres.emptied()
        await schema.migrate(Address(url))
        self.postgres.execute(
            "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BIGINT)", "DELETE FROM rows"
        )
        return self.another(port, **options)

    def another(self, port=None, **options):
        url = self.postgres.url().replace(str(self.postgres.port), str(port or self.postgres.port))
        self.link = link = Link(Address(url), SETTINGS, "test")
        self.parts.push_async_callback(link.close)
        writer = Writer(link, self.committed.append, **options)
        self.parts.push_async_callback(writer.close)
        return writer

    def rows(self, what="key"):
        return [row[0] for row in self.postgres.execute(f"SELECT {what} FROM rows ORDER BY key")]

    def transactions(self):
        return len({row[0] for row in self.postgres.execute("SELECT xmin FROM rows")})


@pytest.fixture
async def bench(postgres) -> AsyncIterator[Bench]:
    bench = Bench(postgres)
    yield bench
    await bench.parts.aclose()
    postgres.execute("DROP TABLE IF EXISTS rows")


async def outcomes(writer, *units):
    return await asyncio.gather(*map(writer.submit, units), return_exceptions=True)


async def test_a_unit_stands_once_its_future_is_done(bench):
    writer = await bench.writer()
    await writer.submit(put("a"))
    assert bench.rows() == ["a"]


async def test_what_comes_together_shares_a_transaction_and_keeps_its_order(bench):
    writer = await bench.writer()
    units = [put(f"{number:03}") for number in range(2 * MAX_BATCH)]
    assert await outcomes(writer, *units) == [None] * len(units)
    assert len(bench.rows()) == 2 * MAX_BATCH
    assert bench.committed == units
    assert bench.transactions() == 2


async def test_stale_units_of_a_batch_are_undone_alone(bench):
    writer = await bench.writer()
    await writer.submit(put("first"))
    mixed = UnitOfWork([*put("m").steps, *put("first").steps])
    found = await outcomes(writer, put("a"), mixed, put("m"), put("first"), put("b"), mixed)
    assert [type(each) for each in found] == [type(None), Stale, type(None), Stale, type(None), Stale]
    assert found[1].change is CHANGE
    assert bench.rows() == ["a", "b", "first", "m"]
    assert mixed not in bench.committed
    assert isinstance((await outcomes(writer, mixed))[0], Stale)
    assert await outcomes(writer, put("c")) == [None]


async def test_a_faulty_unit_harms_nobody(bench):
    writer = await bench.writer()
    nonsense = UnitOfWork([("INSERT INTO nowhere VALUES (1)", (), None, None), *put("x").steps])
    too_big = put("big", 2**63)
    found = await outcomes(writer, nonsense, put("a"), too_big, put("b"))
    assert [type(each) for each in found] == [Refused, type(None), Refused, type(None)]
    assert "nowhere" in str(found[0])
    assert bench.rows() == ["a", "b"]
    assert isinstance((await outcomes(writer, nonsense))[0], Refused)
    with pytest.raises(TypeError):
        writer.submit(put("x", object()))
    assert await outcomes(writer, put("c")) == [None]


async def test_a_row_that_can_t_be_judged_is_its_unit_s_fault(bench):
    def unreadable(row):
        raise ValueError(f"not to be opened: {row}")

    writer = await bench.writer()
    faulty = UnitOfWork([*put("x").steps, ("SELECT value FROM rows WHERE key = 'x'", (), unreadable, CHANGE)])
    found = await outcomes(writer, put("a"), faulty, put("b"))
    assert [type(each) for each in found] == [type(None), ValueError, type(None)]
    assert isinstance((await outcomes(writer, faulty))[0], ValueError)
    assert await outcomes(writer, put("c")) == [None]
    assert bench.rows() == ["a", "b", "c"]


async def test_an_assertion_is_made_once_a_batch_and_again_after_settings_changed(bench):
    writer = await bench.writer()
    await writer.submit(put("first"))
    text = "SELECT 1 FROM rows WHERE key = ?"
    asserting = UnitOfWork([(text, ("first",), holds, CHANGE)])
    settings = UnitOfWork([("DELETE FROM rows WHERE key = 'first'", (), 1, CHANGE)], touches_settings=True)
    found = await outcomes(writer, asserting, asserting, settings, asserting, put("a"), asserting)
    assert [type(each) for each in found] == [*[type(None)] * 3, Stale, type(None), Stale]
    assert bench.rows() == ["a"]


async def test_writers_in_each_other_s_way_all_get_through(bench):
    writers = [await bench.writer(), bench.another(), bench.another()]
    await writers[0].submit(put("counter"))
    units = [count() for _ in range(90)]
    found = await asyncio.gather(*(writers[n % 3].submit(unit) for n, unit in enumerate(units)))
    assert found == [None] * 90
    assert bench.rows("value") == [90]
    assert len(bench.committed) == 91


async def test_what_a_unit_asserts_holds_whatever_others_write_meanwhile(bench):
    writers = [await bench.writer(), bench.another()]
    for pair in range(30):
        found = await asyncio.gather(
            writers[0].submit(only_one_of(f"{pair} a", f"{pair} b")),
            writers[1].submit(only_one_of(f"{pair} b", f"{pair} a")),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in found) == ["NoneType", "Stale"]
    assert len(bench.rows()) == 30


async def test_a_connection_that_ends_in_the_middle_is_no_loss(bench, postgres):
    writer = await bench.writer()
    await writer.submit(put("counter"))
    for _ in range(5):
        found = asyncio.gather(*(writer.submit(count()) for _ in range(40)))
        await asyncio.sleep(0)
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'accredit'"
        )
        assert await found == [None] * 40
    assert bench.rows("value") == [200]


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("asked_in_vain", [0, 1, 2])
async def test_whether_a_commit_came_to_pass_is_asked_when_its_answer_is_lost(
    bench, postgres, carried_out, asked_in_vain
):
    """The answer to that question may be lost as well, whether or not it has reached the server."""
    committed = [2] if carried_out else [0]

    def settled():
        return postgres.execute("SELECT batches FROM writers") == [(1 if carried_out else 2,)]

    async with cut_wire(postgres.port) as wire:
        writer = await bench.writer(wire.port)
        postgres.execute("INSERT INTO rows VALUES ('counter', 0)")
        # A connection's first statement of a kind goes by its text.
        wire.cuts.append((b"COMMIT", (lambda: bench.rows("value") == committed) if carried_out else None))
        wire.cuts += [(b"SELECT batches", settled if number else None) for number in range(asked_in_vain)]
        found = await outcomes(writer, count(), count(), put("counter"))
        assert [type(each) for each in found] == [type(None), type(None), Stale]
        assert not wire.cuts
        assert bench.rows("value") == [2], "neither lost nor twice"
        assert await outcomes(writer, count()) == [None]
        await bench.parts.aclose()
    assert bench.rows("value") == [3]


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_connection_that_ends_before_the_first_unit_is_no_loss(bench, postgres, carried_out):
    """The writer's own row may be there already, or not."""

    def made():
        return postgres.execute("SELECT batches FROM writers") == [(0,)]

    async with cut_wire(postgres.port) as wire:
        writer = await bench.writer(wire.port)
        wire.cuts.append((b"INSERT INTO writers", made if carried_out else None))
        assert await outcomes(writer, put("a"), put("b")) == [None, None]
        assert not wire.cuts
        await bench.parts.aclose()
    assert bench.rows() == ["a", "b"]


@pytest.mark.parametrize("carried_out", [True, False])
async def test_nobody_waits_until_the_server_can_tell_what_came_to_pass(bench, postgres, carried_out):
    """Who has been told that it can't be told has gone on: nothing of that is run a second time."""
    committed = [2] if carried_out else [0]
    async with cut_wire(postgres.port) as wire:
        writer = await bench.writer(wire.port, patience_s=0.2)
        # A connection that takes longer than this patience is no part of what is tried.
        await bench.link.live(LIMIT_S)
        postgres.execute("INSERT INTO rows VALUES ('counter', 0)")
        wire.cuts.append((b"COMMIT", (lambda: bench.rows("value") == committed) if carried_out else None))
        wire.lasts = True
        waiting = asyncio.gather(writer.submit(count()), writer.submit(count()), return_exceptions=True)
        while wire.cuts:
            await asyncio.sleep(0.001)
        (behind,) = await outcomes(writer, count())
        told = [type(each) for each in (*await waiting, behind)]
        assert told == [CommitUnknown, CommitUnknown, StoreUnavailable]
        assert bench.committed == []
        wire.joined()
        while await outcomes(writer, put("later")) != [None]:
            await asyncio.sleep(0.01)
        assert bench.rows("value") == [*committed, 0]
        assert len(bench.committed) == committed[0] + 1, "what stands is known to stand, whoever waits"
        await bench.parts.aclose()


async def test_a_server_that_is_away_takes_nothing_and_is_found_again(bench, postgres):
    writer = await bench.writer(patience_s=0.2)
    await bench.link.live(LIMIT_S)
    await writer.submit(put("counter"))
    postgres.kill()
    try:
        (away,) = await outcomes(writer, count())
        assert isinstance(away, StoreUnavailable)
        assert f"127.0.0.1:{postgres.port} can't be reached" in str(away)
        assert postgres.PASSWORD not in str(away)
        assert [type(each) for each in await outcomes(writer, *[count()] * 3)] == [StoreUnavailable] * 3
    finally:
        postgres.start()
    while await outcomes(writer, count()) != [None]:
        await asyncio.sleep(0.05)
    assert bench.rows("value") == [1]


async def test_a_standby_takes_nothing(bench, postgres):
    writer = await bench.writer()
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'accredit'"
    await writer.submit(put("a"))
    postgres.execute("ALTER ROLE accredit SET default_transaction_read_only = on", ended)
    try:
        (away,) = await outcomes(writer, put("b"))
        assert isinstance(away, StoreUnavailable)
        assert "read-only" in str(away)
    finally:
        postgres.execute("SET default_transaction_read_only = off", "ALTER ROLE accredit RESET ALL", ended)
    while await outcomes(writer, put("b")) != [None]:
        await asyncio.sleep(0.05)
    assert bench.rows() == ["a", "b"]


async def test_who_waits_is_bounded(bench):
    writer = await bench.writer()
    waiting = [writer.submit(put(str(number))) for number in range(MAX_WAITING)]
    with pytest.raises(StoreUnavailable, match="waiting"):
        writer.submit(put("one too many"))
    await asyncio.gather(*waiting)
    assert len(bench.rows()) == MAX_WAITING


async def test_a_cancelled_caller_leaves_the_batch_whole(bench):
    writer = await bench.writer()
    futures = [writer.submit(put(each)) for each in "abc"]
    futures[1].cancel()
    await asyncio.gather(futures[0], futures[2])
    assert bench.rows() == ["a", "b", "c"]
    assert len(bench.committed) == 3, "what stands is known to stand, whoever waits"


async def test_closing_finishes_what_waits_and_leaves_no_trace(bench, postgres):
    writer = await bench.writer()
    futures = [writer.submit(put(str(number))) for number in range(200)]
    await asyncio.gather(writer.close(), writer.close())
    assert await asyncio.gather(*futures) == [None] * 200
    assert len(bench.rows()) == 200
    assert postgres.execute("SELECT id FROM writers") == []
    with pytest.raises(StoreUnavailable, match="closed"):
        writer.submit(put("late"))
