"""Coroutines that are done at once, and those that go on as a task."""

from __future__ import annotations

import asyncio

import pytest

from accredit.fronts.eager import start


async def test_what_needs_no_waiting_is_done_on_return() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("all of it")

    assert start(work()) is None
    assert done == ["all of it"]


async def test_what_waits_goes_on_as_a_task() -> None:
    done: list[object] = []
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        done.append("begun")
        done.append(await gate)
        await asyncio.sleep(0)
        done.append(asyncio.current_task())

    task = start(work())
    assert task is not None
    assert done == ["begun"]
    gate.set_result("opened")
    await task
    assert done == ["begun", "opened", task]


async def test_a_future_that_is_done_before_the_task_runs_is_not_missed() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await gate

    task = start(work())
    assert task is not None
    gate.set_result(None)
    await task


async def test_a_bare_turn_of_the_loop() -> None:
    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    task = start(work())
    assert task is not None
    await task


async def test_what_is_raised_at_once_is_raised_here() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        start(work())


async def test_what_is_raised_later_is_the_tasks() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError

    task = start(work())
    assert task is not None
    with pytest.raises(LookupError):
        await task


async def test_a_failed_future_raises_where_it_is_awaited() -> None:
    seen: list[str] = []
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await gate
        except LookupError:
            seen.append("caught")

    task = start(work())
    assert task is not None
    gate.set_exception(LookupError())
    await task
    assert seen == ["caught"]


async def test_a_cancellation_reaches_the_coroutine() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = start(work())
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
