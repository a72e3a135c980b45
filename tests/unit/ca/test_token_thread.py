"""The thread of the tokens: one call after the other, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from accredit.ca.token_keys import ANSWER_LOST, UNAVAILABLE
from accredit.ca.token_thread import TokenThread
from accredit.domain.errors import UpstreamUnavailable
from support.passing_time import PATIENCE_S, SILENCE_S, passes
from support.waiting import until


@pytest.fixture
def begun() -> list[int]:
    return []


@pytest.fixture
def thread(begun) -> TokenThread:
    return TokenThread(lambda: begun.append(threading.get_ident()))


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Until it is set, what waits for it does not end."""
    event = threading.Event()
    yield event
    event.set()


async def test_everything_is_done_in_one_thread(thread, begun):
    found = {thread.call(threading.get_ident), await thread.run(threading.get_ident)}
    found.add(await asyncio.to_thread(thread.call, threading.get_ident))
    assert found == set(begun)
    assert threading.get_ident() not in found


async def test_what_is_called_from_within_is_done_at_once(thread):
    assert await thread.run(thread.call, lambda: "inner") == "inner"


async def test_what_the_work_raises_is_the_caller_s(thread):
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    assert thread.call(lambda: "goes on") == "goes on"


async def test_a_token_that_does_not_answer(stuck):
    thread = TokenThread(lambda: None, deadline_s=PATIENCE_S)
    began = threading.Event()
    asked = asyncio.create_task(thread.run(lambda: (began.set(), stuck.wait())))
    await until(began.is_set)
    passes(SILENCE_S)
    with pytest.raises(UpstreamUnavailable, match="does not answer") as first:
        await asked
    assert first.value.rule == ANSWER_LOST
    assert thread.is_stuck
    for call in (lambda: thread.run(int), lambda: asyncio.to_thread(thread.call, int)):
        with pytest.raises(UpstreamUnavailable, match="earlier call") as next_one:
            await call()
        assert next_one.value.rule == UNAVAILABLE
    stuck.set()
    await until(lambda: not thread.is_stuck)
    assert await thread.run(int) == 0


async def test_what_did_not_begin_in_time_never_does(stuck):
    thread = TokenThread(lambda: None, deadline_s=PATIENCE_S)
    done: list[int] = []
    began = threading.Event()
    busy = asyncio.create_task(asyncio.to_thread(thread.call, lambda: (began.set(), stuck.wait())))
    await until(began.is_set)
    waits = asyncio.create_task(thread.run(done.append, 1))
    await asyncio.sleep(0)
    passes(SILENCE_S)
    with pytest.raises(UpstreamUnavailable, match="too busy") as late:
        await waits
    assert late.value.rule == UNAVAILABLE
    stuck.set()
    await busy
    assert thread.call(len, done) == 0


def test_a_fork_begins_anew(thread, begun):
    thread.call(int)
    child = os.fork()
    if child == 0:
        os._exit(0 if thread.call(lambda: 7) == 7 and len(begun) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(begun) == 1
