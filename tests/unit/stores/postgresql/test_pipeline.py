"""A real connection as a pipeline: order, values of every kind, what is refused, and what becomes of who waits."""

import asyncio

import psycopg
import pytest

from accredit.stores.postgresql.address import Address
from accredit.stores.postgresql.pipeline import Failed, Lost, Pipeline, Result, bound


@pytest.fixture
async def pipeline(postgres):
    connection = await Address(postgres.url()).connected()
    ended: list[str] = []
    pipeline = Pipeline(connection, ended.append)
    pipeline.ended = ended
    yield pipeline
    await pipeline.close()


async def rows(pipeline, text, *values):
    (answer,) = await pipeline.run([bound(text, values)])
    assert isinstance(answer, Result), answer
    return answer.rows


async def test_values_come_back_as_they_went(pipeline):
    values = (2**63 - 1, -1, "ünï\U0001f600 'quoted' ?", b"\x00\xff", None, True)
    types = ("BIGINT", "BIGINT", "TEXT", "BYTEA", "TEXT", "BIGINT")
    text = "SELECT " + ", ".join(f"CAST(? AS {each})" for each in types)
    for _ in range(2):
        assert await rows(pipeline, text, *values) == [(*values[:-1], 1)]
    assert await rows(pipeline, text, *(None,) * 6) == [(None,) * 6]
    assert await rows(pipeline, "SELECT 1 = 1, 2 = 1") == [(True, False)]


async def test_answers_belong_to_who_asked(pipeline):
    asked = [rows(pipeline, "SELECT CAST(? AS BIGINT)", number) for number in range(500)]
    assert await asyncio.gather(*asked) == [[(number,)] for number in range(500)]
    assert pipeline.waiting == 0


async def test_much_in_both_directions_at_once(pipeline):
    big = b"x" * 1_000_000
    asked = [rows(pipeline, "SELECT CAST(? AS BYTEA)", big) for _ in range(20)]
    assert await asyncio.gather(*asked) == [[(big,)]] * 20


async def test_a_refused_statement_ends_its_exchange_and_no_other(pipeline):
    exchanges = [
        pipeline.run([bound("SELECT CAST(? AS BIGINT)", (1,)), bound(text, ()), bound("SELECT 2", ())])
        for text in ("SELECT nonsense", "SELECT 1 / 0", "SELECT 3")
    ]
    unknown, divided, good = await asyncio.gather(*exchanges)
    assert unknown == [Result([(1,)], 1), Failed("42703", 'column "nonsense" does not exist'), None]
    assert divided == [Result([(1,)], 1), Failed("22012", "division by zero"), None]
    assert good == [Result([(1,)], 1), Result([(3,)], 1), Result([(2,)], 1)]
    assert await pipeline.run([bound("SELECT 1 / 0", ())]) == [Failed("22012", "division by zero")]


async def test_how_many_rows_were_changed(pipeline):
    statements = [
        bound("CREATE TEMPORARY TABLE rows (number BIGINT)", ()),
        bound("INSERT INTO rows SELECT * FROM generate_series(1, 7)", ()),
        bound("DELETE FROM rows WHERE number > ?", (4,)),
    ]
    # A statement is prepared when it is sent, so that it must find its table there.
    answers = [(await pipeline.run([each]))[0] for each in statements]
    assert [answer.count for answer in answers] == [0, 7, 3]


async def test_a_nul_in_a_text_is_replaced_and_nothing_cut_off(pipeline):
    assert await rows(pipeline, "SELECT CAST(? AS TEXT)", "before\0after") == [("before\ufffdafter",)]


async def test_what_a_commit_did_is_told(pipeline):
    texts = ("BEGIN", "SELECT 1 / 0", "COMMIT", "BEGIN", "COMMIT")
    answers = [(await pipeline.run([bound(text, ())]))[0] for text in texts]
    assert [answer.did for answer in answers if isinstance(answer, Result)] == [
        "BEGIN",
        "ROLLBACK",
        "BEGIN",
        "COMMIT",
    ]


@pytest.mark.parametrize(("value", "error"), [(1.5, TypeError), ("\ud800", UnicodeError)])
def test_what_no_column_takes_is_not_sent(value, error):
    with pytest.raises(error):
        bound("SELECT ?", (value,))


async def test_who_waits_hears_that_the_connection_is_gone(pipeline, postgres):
    ((process,),) = await rows(pipeline, "SELECT pg_backend_pid()")
    waiting = [pipeline.run([bound("SELECT pg_sleep(?)", (600,))]) for _ in range(3)]
    postgres.execute(f"SELECT pg_terminate_backend({process})")
    for each in waiting:
        with pytest.raises(Lost):
            await each
    assert len(pipeline.ended) == 1
    with pytest.raises(Lost):
        await pipeline.run([bound("SELECT 1", ())])


async def test_a_server_that_says_nothing_is_given_up(postgres):
    impatient = Pipeline(await Address(postgres.url()).connected(), lambda _: None, answer_s=0.2)
    with pytest.raises(Lost, match="not answered"):
        await impatient.run([bound("SELECT pg_sleep(600)", ())])
    await impatient.close()


async def test_closing_ends_what_is_on_its_way(pipeline):
    waiting = pipeline.run([bound("SELECT pg_sleep(600)", ())])
    await pipeline.close()
    with pytest.raises(Lost):
        await waiting
    with pytest.raises(psycopg.OperationalError):
        await pipeline._connection.execute("SELECT 1")
