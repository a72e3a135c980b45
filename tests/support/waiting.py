"""Letting the event loop go on until something has happened; the test's own timeout is the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)
