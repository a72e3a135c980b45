"""The tables on PostgreSQL: those of SQLite, made once however many processes start."""

import asyncio
import sqlite3

import pytest

from accredit.stores import schema as sqlite_schema
from accredit.stores.postgresql import schema
from accredit.stores.postgresql.address import Address
from accredit.stores.schema import DatabaseUnusable

ONLY_HERE = {"schema_steps", "imports", "writers", "epochs", "log_unplaced"}
ONLY_THERE = {"certificate_ends"}
OTHER_COLUMNS = {("operations", "number"), ("enrollments", "id"), ("hub_devices", "id")}
"""What one database needs and the other does not."""


@pytest.fixture
def address(postgres):
    return Address(postgres.new_database())


async def rows(address, text):
    async with schema.opened(address) as connection:
        cursor = await connection.execute(text)
        return await cursor.fetchall() if cursor.description else []


async def test_the_tables_are_those_of_sqlite(address, tmp_path):
    """A migration of the one has its counterpart in the other."""
    await schema.migrate(address)
    here = {
        tuple(row)
        for row in await rows(
            address,
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'",
        )
    }
    sqlite_schema.migrate(tmp_path / "a.db")
    connection = sqlite3.connect(tmp_path / "a.db")
    there = {
        (table, column)
        for table, column in connection.execute(
            "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c "
            "WHERE t.type IN ('table', 'view') AND t.name NOT LIKE '%yoyo%' AND t.name NOT LIKE 'sqlite%'"
        )
    }
    connection.close()
    assert {row for row in here ^ there if row[0] not in ONLY_HERE | ONLY_THERE} == OTHER_COLUMNS
    assert {row[0] for row in here - there} - {row[0] for row in OTHER_COLUMNS} == ONLY_HERE


async def test_processes_that_start_together_make_them_once(address):
    await asyncio.gather(*(schema.migrate(address) for _ in range(6)))
    assert [row[0] for row in await rows(address, "SELECT id FROM schema_steps ORDER BY id")] == sorted(
        schema._shipped()
    )


async def test_a_second_time_nothing_happens(address):
    await schema.migrate(address)
    await rows(address, "INSERT INTO epochs (name, epoch) VALUES ('mine', 7)")
    await schema.migrate(address)
    assert await rows(address, "SELECT epoch FROM epochs WHERE name = 'mine'") == [(7,)]


async def test_a_step_that_fails_leaves_nothing_behind(address):
    await rows(address, "CREATE TABLE epochs (in_the_way TEXT)")
    for _ in range(2):
        with pytest.raises(DatabaseUnusable, match='relation "epochs" already exists'):
            await schema.migrate(address)
    assert await rows(address, "SELECT to_regclass('certificates')") == [(None,)]


async def test_a_newer_version_s_database_is_refused(address):
    await schema.migrate(address)
    await rows(address, "INSERT INTO schema_steps VALUES ('9999-from-the-future', 0)")
    with pytest.raises(DatabaseUnusable, match="newer version of accredit .it has 9999-from-the-future"):
        await schema.migrate(address)


async def test_whether_something_was_sealed_there(address):
    assert not await schema.has_secrets(address)
    await schema.migrate(address)
    assert not await schema.has_secrets(address)
    await rows(address, "INSERT INTO states (name, sealed) VALUES ('a', 'x')")
    assert await schema.has_secrets(address)


async def test_a_server_that_is_not_there_is_named():
    with pytest.raises(DatabaseUnusable, match=r"server 127\.0\.0\.1:1 can't be used: .*refused.*Start it"):
        await schema.migrate(Address("postgresql://127.0.0.1:1/x"))
