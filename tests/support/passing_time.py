"""Time that passes at once: deadlines are met without waiting for them, so that no test needs a short one.

A short deadline meets the good answers of a busy machine too. This moves the clock of the event loop instead, once what
must come before the silence has come.
"""

from __future__ import annotations

import asyncio

PATIENCE_S = 60.0
"""A deadline for whatever should be answered."""
SILENCE_S = PATIENCE_S + 1
"""How long somebody is silent who outlasts that patience, and no other."""


def passes(seconds: float) -> None:
    """Move the running loop's clock on: what is due by then runs next."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, asyncio.BaseEventLoop), "uvloop's timers have a clock of their own"
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


async def silence(seconds: float = SILENCE_S) -> None:
    """Say nothing for so long, and nothing afterwards."""
    passes(seconds)
    await asyncio.Event().wait()
