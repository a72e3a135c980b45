"""The sequencer: every leaf gets one place, in the order of commits, under a head that is signed over all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from accredit.domain import merkle
from accredit.domain.changes import AppendLeaf
from accredit.domain.ids import AuthorityName
from accredit.domain.issuance_log import unknown_leaf
from accredit.domain.secret import Secret
from accredit.interfaces import CommitUnknown, Stale
from accredit.provisioning.sequencer import BATCH_LEAVES, Sequencer
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.hand_clock import HandClock
from support.troubled_store import TroubledStore
from support.waiting import until

SEED = Secret(bytes(range(32)))
CA = AuthorityName.parse("myca")


@pytest.fixture
async def store(tmp_path):
    made = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield made
    await made.close()


@pytest.fixture
def sequencer(store) -> Sequencer:
    return Sequencer(store, HandClock(), SEED)


async def appended(store, count: int, begin: int = 0) -> list[bytes]:
    leaves = [unknown_leaf(CA, number.to_bytes(32, "big"), number) for number in range(begin, begin + count)]
    await store.commit([AppendLeaf(leaf) for leaf in leaves])
    return [leaf.leaf_hash for leaf in leaves]


def root_of(hashes: list[bytes]) -> bytes:
    return merkle.root(len(hashes), merkle.grown(0, {}, hashes))


async def test_nothing_is_signed_before_there_is_a_leaf(store, sequencer):
    assert await sequencer.sequence() is False
    assert await store.tree_head() is None


async def test_the_head_covers_every_leaf(store, sequencer):
    hashes: list[bytes] = []
    for count in (1, 2, 4, 7):
        hashes += await appended(store, count, len(hashes))
        assert await sequencer.sequence() is False
        head = await store.tree_head()
        assert (head.size, head.root) == (len(hashes), root_of(hashes))
        assert head.signed_by(sequencer.public_key)
    placed = await store.placed_leaves(0, 100)
    assert [each.leaf.leaf_hash for each in placed] == hashes
    assert [each.sequence for each in placed] == list(range(14))


async def test_a_batch_says_whether_more_is_waiting(store, sequencer):
    hashes = await appended(store, BATCH_LEAVES + 3)
    assert await sequencer.sequence() is True
    assert await sequencer.sequence() is False
    head = await store.tree_head()
    assert head.root == root_of(hashes)


async def test_two_at_once_place_nothing_twice(store, sequencer):
    hashes = await appended(store, 5)
    other = Sequencer(store, HandClock(), SEED)
    outcomes = await asyncio.gather(sequencer.sequence(), other.sequence(), return_exceptions=True)
    assert [type(each) for each in outcomes].count(Stale) == 1
    assert (await store.tree_head()).root == root_of(hashes)
    assert await store.unplaced_leaves(10) == []


async def test_what_is_appended_while_it_runs_is_placed_and_told(store):
    heads = []

    async def told(head):
        heads.append(head.size)

    sequencer = Sequencer(store, HandClock(), SEED, told)
    sequencer.start()
    await appended(store, 3)
    await until(lambda: heads == [3])
    await appended(store, 2, 3)
    await sequencer.stop()
    assert heads[-1] == 5


@pytest.mark.parametrize("stands", [True, False])
async def test_a_head_of_which_nobody_knew_whether_it_stands_is_told_all_the_same(store, stands):
    heads = []

    async def told(head):
        heads.append(head.size)

    troubled = TroubledStore(store, fails_at=1, stands=stands)
    sequencer = Sequencer(troubled, HandClock(), SEED, told)
    await appended(store, 3)
    with pytest.raises(CommitUnknown):
        await sequencer.sequence()
    assert heads == []
    with suppress(Stale):
        await sequencer.sequence()
    assert await sequencer.sequence() is False
    assert heads == [3]
    assert await sequencer.sequence() is False
    assert heads == [3]


async def test_another_key_does_not_stand_for_the_signature(store, sequencer):
    await appended(store, 1)
    await sequencer.sequence()
    head = await store.tree_head()
    stranger = Sequencer(store, HandClock(), Secret(b"s" * 32))
    assert not head.signed_by(stranger.public_key)
    assert not head.signed_by(b"no key")
