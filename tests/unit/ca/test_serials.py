"""Numbers are on record before they are given out, and none is ever in doubt for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from accredit.ca.serials import BATCH, LEASE_S, USED_FOR_S, ReservedSerials
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.interfaces import StoreUnavailable
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.troubled_store import TroubledStore

CA = AuthorityName.parse("plant")
END = 2_000_000_000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "a.db", Sealer([Secret(b"k" * 32)]))
    yield opened
    await opened.close()


@pytest.fixture
def serials(store, clock) -> ReservedSerials:
    return ReservedSerials(store, clock, CountedEntropy(), "first")


async def on_record(store) -> set[int]:
    return {each.serial for each in await store.reserved_serials()}


async def lost(store) -> set[int]:
    return {each.serial for shard in range(16) for each in await store.revoked(CA, shard, 0)}


async def test_a_batch_is_on_record_before_the_first_number_is_given_out(serials, store):
    given = {await serials.take(CA, END) for _ in range(BATCH)}
    assert given == await on_record(store)
    assert await serials.take(CA, END) not in given
    assert len(await on_record(store)) == 2 * BATCH


async def test_many_at_once_share_one_batch(serials, store):
    taken = await asyncio.gather(*(serials.take(CA, END) for _ in range(BATCH)))
    assert set(taken) == await on_record(store)


async def test_who_stops_waiting_takes_nothing_with_it(serials, store):
    waiting = asyncio.create_task(serials.take(CA, END))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await serials.take(CA, END)
    assert len(await on_record(store)) == BATCH


async def test_nothing_is_given_out_that_could_not_be_reserved(store, clock):
    serials = ReservedSerials(TroubledStore(store, fails_at=1), clock, CountedEntropy(), "first")
    with pytest.raises(StoreUnavailable):
        await serials.take(CA, END)
    assert await serials.take(CA, END) in await on_record(store)


async def test_one_that_was_not_signed_is_given_to_the_next(serials):
    first = await serials.take(CA, END)
    serials.give_back(CA, first)
    assert await serials.take(CA, END) == first


async def test_old_ones_are_not_given_out(serials, store, clock):
    first = await serials.take(CA, END)
    old = await on_record(store)
    clock.advance(USED_FOR_S)
    assert await serials.take(CA, END) not in old
    assert await on_record(store) & old == {first}


async def test_one_that_was_given_out_is_lost_at_the_end_of_its_lease(serials, store, clock):
    first = await serials.take(CA, END)
    await serials.settle()
    clock.advance(LEASE_S)
    await serials.settle()
    assert await lost(store) == {first}
    # The others are nobody's yet, and go when the batch is replaced.
    await serials.take(CA, END)
    assert await lost(store) == {first}


async def test_after_a_stop_in_order_only_what_was_given_out_is_in_doubt(serials, store):
    first = await serials.take(CA, END)
    await serials.close()
    assert await on_record(store) == {first}


async def test_after_a_crash_the_next_process_gives_up_the_whole_batch(serials, store, clock):
    await serials.take(CA, END)
    reserved = await on_record(store)
    following = ReservedSerials(store, clock, CountedEntropy(b"other"), "second")
    await following.settle()
    assert await lost(store) == set()
    await following.settle(everybody=True)
    assert await lost(store) == reserved
    assert await following.take(CA, END) not in reserved


async def test_one_whose_answer_was_lost(serials, store):
    first = await serials.take(CA, END)
    await serials.lose(CA, first)
    assert await lost(store) == {first}
