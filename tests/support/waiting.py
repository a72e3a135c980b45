"""Letting the event loop go on until something has happened, however slow the machine is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LIMIT_S = 60.0
_TURNS = 200


async def until(condition: Callable[[], object], otherwise: Callable[[], str] | None = None) -> None:
    """Raises AssertionError where it does not come to hold: with what `otherwise` says then."""
    turns = 0
    ends = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > ends:
            raise AssertionError(f"not within {LIMIT_S:g} s" if otherwise is None else otherwise())
        # Most things need a few turns of the loop. Threads and other processes need the processor that more of them take.
        await asyncio.sleep(0 if turns < _TURNS else 0.001)
        turns += 1
