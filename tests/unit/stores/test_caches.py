"""A cache answers as its source does, until it is told to forget."""

from accredit.stores.caches import Cache


def test_an_answer_is_asked_for_once():
    cache, answers = Cache(), iter(["first", "second"])
    assert [cache.remembered("question", lambda: next(answers)) for _ in range(3)] == ["first"] * 3
    cache.forget()
    assert cache.remembered("question", lambda: next(answers)) == "second"


def test_questions_are_kept_apart():
    cache = Cache()
    assert cache.remembered(("a", 1), lambda: "one") == "one"
    assert cache.remembered(("a", 2), lambda: "two") == "two"


def test_that_there_is_nothing_is_not_remembered():
    cache, answers = Cache(), iter([None, (), "now"])
    assert cache.remembered("question", lambda: next(answers)) is None
    assert cache.remembered("question", lambda: next(answers)) == ()
    assert cache.remembered("question", lambda: next(answers)) == "now"


def test_it_does_not_grow_without_bound():
    cache, asked = Cache(), []
    for number in range(10_000):
        cache.remembered(number, lambda number=number: asked.append(number) or "x")
    for number in range(10_000):
        cache.remembered(number, lambda number=number: asked.append(number) or "x")
    assert len(asked) > 10_000, "it has kept everything"
