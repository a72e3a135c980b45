"""A copy of the database is of one instant and whole, and says what it holds without the master key."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accredit.domain import changes as c
from accredit.domain import merkle
from accredit.domain.issuance_log import LeafKind, restoration_leaf
from accredit.domain.one_time_password import OneTimePassword
from accredit.domain.secret import Secret
from accredit.domain.tree_head import TreeHead
from accredit.seal import Sealer
from accredit.stores import copies
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some

OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)


@pytest.fixture
async def store(tmp_path):
    store = await SqliteStore.open(tmp_path / "a.db", Sealer([OLD]))
    await store.commit(some.configured())
    yield store
    await store.close()


async def placed(store):
    """Give every leaf its place, under a signed head; returns the head."""
    waiting = await store.unplaced_leaves(1_000)
    made = merkle.grown(0, {}, [each.leaf.leaf_hash for each in waiting])
    root = merkle.root(len(waiting), made)
    head = TreeHead.sign(len(waiting), root, some.NOW, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    await store.commit([c.GrowLogTree(0, [each.id for each in waiting], made, head)])
    return head


async def test_it_says_what_it_holds(store, tmp_path):
    for name in ("Pump-1", "Pump-2"):
        await store.commit(some.provisioned(name))
    head = await placed(store)
    copies.copy(tmp_path / "a.db", tmp_path / "copy.db")
    held = copies.contents(tmp_path / "copy.db")
    assert (held.registrations, held.certificates, held.leaves, held.head) == (2, 2, 2, head)
    assert held.key_ids == (Sealer([OLD]).key_id,)
    assert "0001-identity" in held.migrations


async def test_it_names_every_master_key_that_is_needed(store, tmp_path):
    await store.close()
    both = Sealer([NEW, OLD])
    again = await SqliteStore.open(tmp_path / "a.db", both)
    await again.commit([c.SaveEnrollment(some.group("Later"), None)])
    await again.close()
    copies.copy(tmp_path / "a.db", tmp_path / "copy.db")
    assert set(copies.contents(tmp_path / "copy.db").key_ids) == set(both.key_ids)


async def test_it_is_one_file_of_its_owner(store, tmp_path):
    (tmp_path / "to").mkdir()
    copies.copy(tmp_path / "a.db", tmp_path / "to" / "copy.db")
    copies.contents(tmp_path / "to" / "copy.db")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["copy.db"]
    assert stat.S_IMODE((tmp_path / "to" / "copy.db").stat().st_mode) == 0o600


async def test_it_is_of_one_instant_while_devices_come_in(store, tmp_path):
    """Each device is one unit of work: no copy has a registration without its certificate and leaf."""
    stopped = asyncio.Event()

    async def provisions():
        number = 0
        while not stopped.is_set():
            number += 1
            await store.commit(some.provisioned(f"Pump-{number}"))

    load = asyncio.create_task(provisions())
    seen = []
    while len(seen) < 5 or seen[0] == seen[-1]:
        copy = tmp_path / f"copy-{len(seen)}.db"
        await asyncio.to_thread(copies.copy, tmp_path / "a.db", copy)
        held = copies.contents(copy)
        assert held.registrations == held.certificates == held.leaves
        seen.append(held.registrations)
    stopped.set()
    await load
    assert seen == sorted(seen)


async def test_nothing_is_overwritten(store, tmp_path):
    (tmp_path / "copy.db").write_text("something")
    with pytest.raises(FileExistsError):
        copies.copy(tmp_path / "a.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "something"


def test_a_database_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(DatabaseUnusable, match="can't be copied"):
        copies.copy(tmp_path / "none.db", tmp_path / "copy.db")
    assert not (tmp_path / "none.db").exists()


async def test_a_damaged_database_is_not_copied_unnoticed(store, tmp_path):
    await store.commit(some.provisioned("Pump-1"))
    await store.close()
    content = bytearray((tmp_path / "a.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        root = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'certificates'"
        ).fetchone()[0]
        page = connection.execute("PRAGMA page_size").fetchone()[0]
    content[(root - 1) * page : root * page] = b"\xff" * page
    (tmp_path / "a.db").write_bytes(content)
    with pytest.raises(DatabaseUnusable, match="damaged"):
        copies.copy(tmp_path / "a.db", tmp_path / "copy.db")


async def test_what_is_put_back_says_so_and_has_no_password_that_may_have_been_used(store, tmp_path):
    password = OneTimePassword(some.RegistrationId.parse("Pump-1"), "g", b"h" * 32, some.NOW + 900)
    await store.commit([c.SaveEnrollment(some.enrollment("Pump-1"), None), c.SaveOneTimePassword(password)])
    copies.copy(tmp_path / "a.db", tmp_path / "copy.db")
    leaf = restoration_leaf(b"m" * 32, some.NOW)
    copies.mark_restored(tmp_path / "copy.db", leaf)
    restored = await SqliteStore.open(tmp_path / "copy.db", Sealer([OLD]))
    (waiting,) = await restored.unplaced_leaves(10)
    assert (waiting.leaf, waiting.leaf.kind) == (leaf, LeafKind.RESTORATION)
    assert await restored.one_time_password(password.registration_id) is None
    assert await store.one_time_password(password.registration_id) is not None
    await restored.close()
