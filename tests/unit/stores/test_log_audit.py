"""A database whose issuance log is not what its heads say is found out, whatever was done to it."""

from __future__ import annotations

import sqlite3

import pytest

from accredit.domain.secret import Secret
from accredit.provisioning.sequencer import Sequencer
from accredit.seal import Sealer
from accredit.stores.log_audit import audit
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some
from support.hand_clock import HandClock

DEVICES = 5


@pytest.fixture
async def database(tmp_path):
    """Of five devices, in a log with a head over two leaves and one over all."""
    path = tmp_path / "a.db"
    store = await SqliteStore.open(path, Sealer([Secret(b"k" * 32)]))
    await store.commit(some.configured())
    sequencer = Sequencer(store, HandClock(some.NOW), Secret(b"s" * 32))
    for number in range(DEVICES):
        await store.commit(some.provisioned(f"Pump-{number}"))
        if number == 1:
            await sequencer.sequence()
    await sequencer.sequence()
    await store.close()
    return path


def test_a_whole_log_is_whole(database):
    assert audit(database) == DEVICES


def test_leaves_without_a_place_are_nobodys_business_yet(database):
    spoil(
        database,
        "INSERT INTO log_leaves (kind, authority, sha256, logged_at, leaf_hash) VALUES (2, 'a', x'00', 1, x'00')",
    )
    assert audit(database) == DEVICES


def spoil(database, *texts):
    with sqlite3.connect(database) as connection:
        for text in texts:
            connection.execute(text)
    connection.close()


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["DELETE FROM log_sequence WHERE sequence = 4"], "covers 5 leaves, but there are only 4"),
        (["DELETE FROM log_sequence WHERE sequence = 2"], "leaf 2 is missing"),
        (["UPDATE log_leaves SET logged_at = logged_at + 1 WHERE id = 3"], "does not cover what stands in it"),
        (["UPDATE certificates SET leaf = x'00' WHERE id = 3"], "does not cover what stands in it"),
        (["DELETE FROM certificates WHERE id = 3"], "is gone"),
        (["UPDATE log_heads SET root = zeroblob(32) WHERE size = 5"], "not what its tree head over 5 leaves says"),
        (["UPDATE log_heads SET root = zeroblob(32) WHERE size = 2"], "not what its tree head over 2 leaves says"),
        (["UPDATE log_heads SET signature = zeroblob(64) WHERE size = 5"], "signature"),
        (
            [
                "UPDATE log_sequence SET leaf_id = -1 WHERE sequence = 2",
                "UPDATE log_sequence SET leaf_id = 3 WHERE sequence = 3",
                "UPDATE log_sequence SET leaf_id = 4 WHERE sequence = 2",
            ],
            "not what its tree head",
        ),
        (["DROP TABLE log_sequence"], "can't be read"),
    ],
)  # fmt: skip
def test_a_spoilt_one_is_found(database, texts, said):
    spoil(database, *texts)
    with pytest.raises(DatabaseUnusable, match=said):
        audit(database)
