"""The list of sealed columns has every one of the schema, and opens what the rows' own code sealed."""

from __future__ import annotations

import pytest

from accredit.domain import changes as c
from accredit.domain.access import Realm
from accredit.domain.device import HubDevice
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores.sealed_columns import SEALED_COLUMNS
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some

SEALER = Sealer([Secret(b"k" * 32)])


def test_it_has_every_column_that_is_called_sealed(database):
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    there = {
        (table, row[1])
        for table in tables
        for row in database.execute(f"PRAGMA table_info({table})")
        if row[1].startswith("sealed")
    }
    assert {(each.table, each.column) for each in SEALED_COLUMNS} == there


def test_the_key_of_a_column_is_unique(database):
    for each in SEALED_COLUMNS:
        indexes = [row for row in database.execute(f"PRAGMA index_list({each.table})") if row[2]]
        keys = {
            tuple(row[2] for row in database.execute(f"PRAGMA index_info({index[1]})")) for index in indexes
        }
        assert each.key in keys, each


@pytest.fixture
async def filled(tmp_path):
    """The connection of a database with something in every sealed column."""
    store = await SqliteStore.open(tmp_path / "a.db", SEALER)
    elsewhere: HubDevice = some.hub_device("Pump-2", hub="other.example")
    await store.commit([
        c.SaveState("id-scope", Secret(b"0ne"), None),
        c.SavePolicy(some.policy(Realm.HUB)),
        *some.configured(),
        c.SaveEnrollment(some.enrollment("Pump-1", secrets={"webhook": Secret(b"w" * 8)}), None),
        c.SaveLinkedHub(LinkedHub("b.example", HubKind.AZURE, "l1", 1, 1, connection_string=Secret(b"c" * 9)), None),
        c.SaveHubDevice(some.hub_device("Pump-1")),
        c.SaveHubDevice(elsewhere),
    ])  # fmt: skip
    yield store
    await store.close()


async def test_every_envelope_opens_at_its_place(filled):
    seen = set()
    for each in SEALED_COLUMNS:
        columns = ", ".join((each.column, *each.key))
        text = f"SELECT {columns} FROM {each.table} WHERE {each.column} IS NOT NULL"
        for envelope, *key in await filled._rows(text, ()):
            assert SEALER.open(envelope, each.table, each.place(key), each.column)
            seen.add((each.table, each.column))
    assert seen == {(each.table, each.column) for each in SEALED_COLUMNS}
