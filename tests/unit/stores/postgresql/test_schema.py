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


COLUMNS = """SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
CALLED_YUGABYTEDB = """
CREATE SCHEMA other;
CREATE FUNCTION other.version() RETURNS TEXT LANGUAGE sql AS $$ SELECT 'PostgreSQL 11.2-YB-2.20.1.0-b0'::TEXT $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, other, pg_catalog', current_database()); END $$"""
BROKEN_OFF = """
CREATE SEQUENCE other.changes;
CREATE FUNCTION other.broken() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE change BIGINT := nextval('other.changes');
BEGIN
  IF change IN (10, 40, 100) THEN RAISE 'broken off' USING ERRCODE = 'crash_shutdown'; END IF;
  IF change % 9 = 0 THEN RAISE 'others' USING ERRCODE = 'serialization_failure'; END IF;
END $$;
CREATE EVENT TRIGGER breaks ON ddl_command_start EXECUTE FUNCTION other.broken()"""


async def test_where_tables_know_no_transactions_a_step_that_was_broken_off_is_gone_through_again(
    address, postgres
):
    """On a server that is only called so."""
    await rows(address, CALLED_YUGABYTEDB)
    await rows(address, BROKEN_OFF)
    for _ in range(3):
        with pytest.raises(DatabaseUnusable, match=r"broken\(\) line 4"):
            await schema.migrate(address)
    await schema.migrate(address)
    usual = Address(postgres.new_database())
    await schema.migrate(usual)
    for what in (
        COLUMNS,
        INDEXES,
        "SELECT id FROM schema_steps ORDER BY id",
        "SELECT * FROM epochs ORDER BY name",
    ):
        assert await rows(address, what) == await rows(usual, what)


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
