"""The connection that is kept up, and those who wait for it."""

from __future__ import annotations

import asyncio

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
