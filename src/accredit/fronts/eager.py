"""Run a coroutine now, up to where it first waits; only what is left of it then costs a task.

Many answers need no waiting, and a task with its trip through the loop is then most of their price. What runs before
the first wait has no current task, so `asyncio.timeout` and `TaskGroup` may come only after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any


def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """None when `work` is already done, otherwise the task that goes on with it. What it raises at once is raised here."""
    try:
        awaited = work.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_rest(work, awaited))


async def _rest(work: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _resumed(work, awaited)


@coroutine
def _resumed(work: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Yield to the task what `work` waits for, first of all what it has been waiting for since before the task."""
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - a cancellation too is the coroutine's to see
                awaited = work.throw(error)
            else:
                awaited = work.send(sent)
    except StopIteration:
        return
