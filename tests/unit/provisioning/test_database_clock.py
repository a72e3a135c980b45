"""The database's clock as a process tells it: never ahead."""

from __future__ import annotations

from accredit.provisioning.database_clock import DatabaseClock
from support.hand_clock import HandClock

EPOCH = 1_700_000_000.0


async def test_it_is_the_database_s_and_goes_on_by_our_own() -> None:
    ours = HandClock(now=5.0)

    async def slow() -> float:
        told = EPOCH + ours.monotonic()
        ours.advance(2)  # the answer's way back
        return told

    clock = DatabaseClock(slow, ours)
    await clock.look()
    assert clock.now() == EPOCH
    ours.advance(10)
    assert clock.now() == EPOCH + 10
    assert clock.now() <= EPOCH + ours.monotonic()
    await clock.look()
    assert clock.now() == EPOCH + 12
    assert clock.monotonic() == ours.monotonic()
