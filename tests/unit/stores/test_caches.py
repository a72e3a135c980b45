"""A cache answers as its source does, until it is told to forget."""

import asyncio

from accredit.stores.caches import Cache


async def value(of: object) -> object:
    return of


async def test_an_answer_is_kept_until_it_is_told_to_forget():
    cache = Cache()
    assert cache.get("question") is None
    assert await cache.filled("question", value("first")) == "first"
    assert cache.get("question") == "first"
    cache.forget()
    assert cache.get("question") is None


async def test_questions_are_kept_apart():
    cache = Cache()
    await cache.filled(("a", 1), value("one"))
    await cache.filled(("a", 2), value("two"))
    assert (cache.get(("a", 1)), cache.get(("a", 2))) == ("one", "two")


async def test_that_there_is_nothing_is_not_remembered():
    cache = Cache()
    for nothing in (None, ()):
        assert await cache.filled("question", value(nothing)) == nothing
        assert cache.get("question") is None


async def test_an_answer_from_before_is_given_and_not_kept():
    """What the database said before it was changed may arrive after that."""
    cache, answer = Cache(), asyncio.get_running_loop().create_future()
    asking = asyncio.ensure_future(cache.filled("question", answer))
    await asyncio.sleep(0)
    cache.forget()
    answer.set_result("old")
    assert await asking == "old"
    assert cache.get("question") is None


async def test_it_does_not_grow_without_bound():
    cache = Cache()
    for number in range(10_000):
        await cache.filled(number, value("x"))
    assert len([number for number in range(10_000) if cache.get(number)]) < 10_000, "it has kept everything"
