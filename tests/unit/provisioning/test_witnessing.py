"""The witness is shown each newest head until it has taken it, whatever it does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accredit.domain.changes import GrowLogTree
from accredit.domain.secret import Secret
from accredit.domain.tree_head import TreeHead
from accredit.provisioning.witnessing import BEHIND_S, Witnessing
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from accredit.witness import NotTaken
from support.hand_clock import HandClock
from support.logs import capture_logs
from support.waiting import until

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def head(size: int, root: bytes = b"r" * 32) -> TreeHead:
    return TreeHead.sign(size, root, 1_800_000_000, KEY)


class ScriptedWitness:
    """Takes heads while `is_open`, and holds whoever shows one while `held` is unset."""

    name = "https://witness.example"

    def __init__(self, last: TreeHead | None = None) -> None:
        self.taken: list[int] = []
        self.shown: list[int] = []
        self.fault: Exception | None = None
        self.held = asyncio.Event()
        self.held.set()
        self._last = last

    async def last(self) -> TreeHead | None:
        return self._last

    async def take(self, shown: TreeHead) -> None:
        self.shown.append(shown.size)
        await self.held.wait()
        if self.fault is not None:
            raise self.fault
        self.taken.append(shown.size)

    async def close(self) -> None:
        return


class Scene:
    """A witness under a clock that a test moves; waits between tries end when the test says."""

    def __init__(self, store: SqliteStore, last: TreeHead | None = None) -> None:
        self.store = store
        self.clock = HandClock()
        self.witness = ScriptedWitness(last)
        self.waits: list[float] = []
        self.rested = asyncio.Event()
        self.witnessing = Witnessing(store, self.clock, self.witness, lambda: 0.0, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.rested.clear()
        await self.rested.wait()

    async def on_record(self) -> list[int]:
        return [each.size for each in await self.store.witnessed(ScriptedWitness.name, 10)]


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
async def store(tmp_path):
    made = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield made
    await made.close()


async def grown(store: SqliteStore, to: TreeHead) -> None:
    await store.commit([GrowLogTree(0, [], {}, to)])


async def test_each_head_is_shown_and_what_was_taken_is_on_record(store, lines) -> None:
    scene = Scene(store)
    scene.witnessing.start()
    for size in (1, 4):
        await scene.witnessing.told(head(size))
        await until(lambda size=size: size in scene.witness.taken)
    await scene.witnessing.stop()
    assert await scene.on_record() == [4, 1]
    assert scene.witnessing.standing().waiting_size is None
    assert [line["size"] for line in lines if line["event"] == "log-head-witnessed"] == [1, 4]


async def test_of_heads_that_pile_up_only_the_newest_is_shown(store) -> None:
    scene = Scene(store)
    scene.witness.held.clear()
    scene.witnessing.start()
    await scene.witnessing.told(head(1))
    await until(lambda: scene.witness.shown)
    for size in (2, 3, 4):
        await scene.witnessing.told(head(size))
    scene.witness.held.set()
    await until(lambda: scene.witness.taken == [1, 4])
    await scene.witnessing.stop()
    assert scene.witness.shown == [1, 4]


async def test_a_silent_witness_is_asked_ever_more_seldom_and_hurried_by_nobody(store, lines) -> None:
    scene = Scene(store)
    scene.witness.fault = NotTaken("it answered 503")
    scene.witnessing.start()
    await scene.witnessing.told(head(1))
    for tries in range(1, 6):
        await until(lambda tries=tries: len(scene.waits) == tries)
        await scene.witnessing.told(head(1 + tries))
        scene.rested.set()
    await until(lambda: len(scene.waits) == 6)
    assert scene.waits == [1, 2, 4, 8, 16, 32]
    assert scene.witness.shown == [1, 2, 3, 4, 5, 6]
    behind = [line for line in lines if line["event"] == "log-witness-behind"]
    assert {line["reason"] for line in behind} == {"it answered 503"}
    scene.witness.fault = None
    scene.rested.set()
    await until(lambda: scene.witness.taken == [6])
    await scene.witnessing.stop()


async def test_it_is_behind_when_a_head_waits_too_long(store) -> None:
    scene = Scene(store)
    scene.witness.fault = NotTaken("no connection in time")
    scene.witnessing.start()
    await scene.witnessing.told(head(5))
    await until(lambda: scene.waits)
    standing = scene.witnessing.standing()
    assert (standing.waiting_size, standing.failure, standing.is_behind) == (
        5,
        "no connection in time",
        False,
    )
    scene.clock.advance(BEHIND_S + 1)
    assert scene.witnessing.standing().is_behind
    scene.witness.fault = None
    scene.rested.set()
    await until(lambda: scene.witness.taken)
    await scene.witnessing.stop()
    assert scene.witnessing.standing().warnings == ()


async def test_a_defect_of_the_witness_ends_nothing(store, lines) -> None:
    scene = Scene(store)
    scene.witness.fault = ZeroDivisionError()
    scene.witnessing.start()
    await scene.witnessing.told(head(1))
    await until(lambda: scene.waits)
    scene.witness.fault = None
    scene.rested.set()
    await until(lambda: scene.witness.taken == [1])
    await scene.witnessing.stop()
    assert [line["size"] for line in lines if line["event"] == "log-witness-failed"] == [1]


async def test_a_start_shows_the_newest_head_again(store) -> None:
    await grown(store, head(3))
    scene = Scene(store)
    scene.witnessing.start()
    await until(lambda: scene.witness.taken == [3])
    await scene.witnessing.stop()


async def test_a_start_shows_nothing_to_a_witness_that_has_it(store) -> None:
    await grown(store, head(3))
    scene = Scene(store, last=head(3))
    scene.witnessing.start()
    await scene.witnessing.told(head(4))
    await until(lambda: scene.witness.taken)
    await scene.witnessing.stop()
    assert (scene.witness.shown, scene.witnessing.standing().contradiction) == ([4], None)


@pytest.mark.parametrize("last", [head(3, b"x" * 32), head(9)], ids=["another root", "more leaves"])
async def test_a_log_that_is_not_what_the_witness_saw_is_told_aloud(store, lines, last) -> None:
    await grown(store, head(3))
    scene = Scene(store, last)
    scene.witnessing.start()
    await until(lambda: scene.witness.taken == [3])
    await scene.witnessing.stop()
    assert f"{last.size} leaves" in scene.witnessing.standing().contradiction
    (line,) = [line for line in lines if line["event"] == "log-witness-contradicted"]
    assert (line["log_level"], line["size"]) == ("error", last.size)


async def test_a_stop_shows_what_is_left(store) -> None:
    scene = Scene(store)
    await scene.witnessing.told(head(8))
    await scene.witnessing.stop()
    assert await scene.on_record() == [8]
