"""The connection that is kept up, and those who wait for it."""

from __future__ import annotations

import asyncio

import pytest

from accredit.fronts.eager import start
from accredit.interfaces import StoreUnavailable
from accredit.stores.postgresql.address import Address
from accredit.stores.postgresql.link import Link
from support.waiting import LIMIT_S


async def test_who_is_cancelled_as_it_comes_up_is_cancelled(postgres) -> None:
    """A store that is closed at once ends what watches it, which otherwise would go on for ever."""
    link = Link(Address(postgres.url()), (), "test")
    waiting = [asyncio.create_task(link.live(LIMIT_S)) for _ in range(6)]
    while link.pipeline is None:
        await asyncio.sleep(0)
    cancelled = []
    for each in waiting:
        if each.cancel():
            cancelled.append(each)
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, return_exceptions=True)
    await link.close()
    assert [each for each in cancelled if not each.cancelled()] == []


async def test_a_front_waits_outside_of_any_task() -> None:
    """As it takes the first step of what a device asks while the database is away."""
    link = Link(Address("postgresql://127.0.0.1:1/x"), (), "test")
    loop = asyncio.get_running_loop()
    outcome = loop.create_future()

    async def ask() -> None:
        try:
            outcome.set_result(await link.live(0.01))
        except Exception as error:
            outcome.set_exception(error)

    loop.call_soon(start, ask())
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        await outcome
    await link.close()
