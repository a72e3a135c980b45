"""A device that asks for its proof waits for its leaf's place, and not for longer than the patience."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from accredit.administration.issuance_log import IssuanceLog
from accredit.domain.changes import AppendLeaf, RecordCertificate
from accredit.domain.errors import NotFound, UpstreamUnavailable
from accredit.domain.issuance_log import LeafKind, certificate_leaf, revocation_leaf
from accredit.domain.secret import Secret
from accredit.provisioning.log_proofs import Growth, LogProofs
from accredit.provisioning.sequencer import Sequencer
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some
from support.hand_clock import HandClock

GENEROUS_S = 30.0


@pytest.fixture
async def store(tmp_path):
    made = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield made
    await made.close()


class Scene:
    def __init__(self, store: SqliteStore, patience_s: float = GENEROUS_S) -> None:
        self.store = store
        self.growth = Growth()
        self.sequencer = Sequencer(store, HandClock(), Secret(b"s" * 32), self.growth.told)
        self.hurried = asyncio.Event()
        self.proofs = LogProofs(
            store,
            partial(IssuanceLog(store).inclusion, kind=LeafKind.CERTIFICATE),
            self.hurry,
            self.growth,
            patience_s,
        )

    def hurry(self) -> None:
        self.hurried.set()
        self.sequencer.hurry()

    async def recorded(self, name: str) -> bytes:
        record = some.certificate(name)
        issued = record.issued
        leaf = certificate_leaf(record.authority, issued.leaf, issued.sha256, some.NOW)
        await self.store.commit([RecordCertificate(record, shared_key=True), AppendLeaf(leaf)])
        return issued.sha256


async def test_one_that_has_its_place_waits_for_nothing(store) -> None:
    scene = Scene(store)
    sha256 = await scene.recorded("a")
    await scene.sequencer.sequence()
    found = await scene.proofs.of(sha256)
    assert (found.placed.leaf.sha256, found.placed.sequence, found.head.size) == (sha256, 0, 1)
    assert not scene.hurried.is_set()


async def test_the_sequencer_is_hurried_and_its_news_ends_the_wait(store) -> None:
    scene = Scene(store)
    scene.sequencer.start()
    sha256 = await scene.recorded("a")
    found = await scene.proofs.within_patience(sha256)
    assert found is not None
    assert found.head.signed_by(scene.sequencer.public_key)
    await scene.sequencer.stop()


async def test_a_place_that_another_process_gave_is_found_too(store) -> None:
    scene = Scene(store)
    elsewhere = Sequencer(store, HandClock(), Secret(b"s" * 32))
    sha256 = await scene.recorded("a")
    asked = asyncio.create_task(scene.proofs.within_patience(sha256))
    await scene.hurried.wait()
    await elsewhere.sequence()
    assert await asked is not None


async def test_without_a_place_in_time_there_is_none(store) -> None:
    scene = Scene(store, patience_s=0.05)
    sha256 = await scene.recorded("a")
    assert await scene.proofs.within_patience(sha256) is None
    with pytest.raises(UpstreamUnavailable) as refusal:
        await scene.proofs.of(sha256)
    assert (refusal.value.rule, refusal.value.retry_after_s) == ("log-leaf-waits", 1)


async def test_a_certificate_that_is_not_ours_is_not_waited_for(store) -> None:
    scene = Scene(store)
    with pytest.raises(NotFound) as refusal:
        await scene.proofs.of(b"x" * 32)
    assert refusal.value.rule == "log-leaf-unknown"
    assert not scene.hurried.is_set()


async def test_of_a_revoked_certificate_its_own_leaf_is_proven(store) -> None:
    """Its revocation is a leaf about the same certificate."""
    scene = Scene(store)
    sha256 = await scene.recorded("a")
    await scene.sequencer.sequence()
    await store.commit([AppendLeaf(revocation_leaf(some.BUILTIN, sha256, some.NOW + 1))])
    await scene.sequencer.sequence()
    found = await scene.proofs.of(sha256)
    assert (found.placed.leaf.kind, found.placed.sequence, found.head.size) == (LeafKind.CERTIFICATE, 0, 2)


async def test_a_damaged_tree_is_said_at_once(store) -> None:
    async def damaged(_: bytes):
        raise NotFound("gone", rule="log-damaged")

    scene = Scene(store)
    proofs = LogProofs(store, damaged, scene.hurry, scene.growth, GENEROUS_S)
    sha256 = await scene.recorded("a")
    with pytest.raises(NotFound) as refusal:
        await proofs.of(sha256)
    assert refusal.value.rule == "log-damaged"
    assert await proofs.within_patience(sha256) is None, "no device is refused for it"
