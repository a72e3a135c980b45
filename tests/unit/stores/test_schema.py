"""The database is brought up to this version, or refused with a reason."""

import sqlite3
from importlib import resources

import pytest

from accredit.stores import schema
from accredit.stores.schema import DatabaseUnusable

MIGRATIONS = resources.files("accredit.stores").joinpath("migrations")


def tables(path):
    connection = sqlite3.connect(path)
    try:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()


def execute(path, *texts):
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for text in texts:
            connection.execute(text)
    finally:
        connection.close()


def test_a_new_database_gets_its_tables(tmp_path):
    schema.migrate(tmp_path / "a.db")
    assert {"enrollments", "registrations", "certificates", "hub_devices"} <= tables(tmp_path / "a.db")


@pytest.mark.parametrize("name", ["with space.db", "per%41cent.db", "what?.db", "number#.db", "é.db"])
def test_any_file_name_will_do(tmp_path, name):
    schema.migrate(tmp_path / name)
    assert "certificates" in tables(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_second_time_nothing_happens(tmp_path):
    path = tmp_path / "a.db"
    schema.migrate(path)
    execute(path, "INSERT INTO states (name, sealed) VALUES ('a', x'00')")
    before = path.read_bytes()
    schema.migrate(path)
    assert path.read_bytes() == before


def test_what_the_tool_of_earlier_versions_left_is_no_obstacle(tmp_path):
    """Its marks count, and its lock does not: a process that was killed left that shut."""
    path = tmp_path / "a.db"
    schema.migrate(path)
    execute(
        path,
        "DROP TABLE _yoyo_migration",
        "CREATE TABLE _yoyo_migration (migration_hash VARCHAR(64), migration_id VARCHAR(255), "
        "applied_at_utc TIMESTAMP, PRIMARY KEY (migration_hash))",
        *(
            f"INSERT INTO _yoyo_migration VALUES ('{name}', '{name}', CURRENT_TIMESTAMP)"
            for name in (
                file.name.removesuffix(".sql") for file in MIGRATIONS.iterdir() if file.name.endswith(".sql")
            )
            if name != "0003-tpm"
        ),
        "CREATE TABLE yoyo_lock (locked INT DEFAULT 1, ctime TIMESTAMP, pid INT NOT NULL, PRIMARY KEY (locked))",
        "INSERT INTO yoyo_lock (locked, pid) VALUES (1, 1)",
        "DROP TABLE tpm_proofs",
        "ALTER TABLE enrollments DROP COLUMN endorsement_key",
        "ALTER TABLE enrollments DROP COLUMN storage_root_key",
    )
    schema.migrate(path)
    connection = sqlite3.connect(path)
    assert schema.is_current(connection)
    assert connection.execute("SELECT endorsement_key, storage_root_key FROM enrollments").fetchall() == []
    connection.close()


def test_a_step_that_fails_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.db"
    execute(path, "CREATE TABLE hub_devices (in_the_way TEXT)")
    for _ in range(2):
        with pytest.raises(DatabaseUnusable, match="hub_devices already exists"):
            schema.migrate(path)
    assert "certificates" not in tables(path)
    execute(path, "DROP TABLE hub_devices")
    schema.migrate(path)
    assert "certificates" in tables(path)


def test_devices_of_the_first_version_are_those_of_the_first_hub(tmp_path):
    path = tmp_path / "a.db"
    schema.migrate(path)
    first = MIGRATIONS.joinpath("0001-identity.sql").read_text()
    old_table = first[first.index("CREATE TABLE hub_devices") :]
    twin = '{"tags":{"floor":5},"properties":{"desired":{"on":[true,null]}}}'
    rows = [("a", f"'{twin}'"), ("b", "NULL"), ("c", """'{"tags":null}'"""), ("d", "'{}'")]
    execute(
        path,
        "DROP TABLE hub_devices",
        "DROP TABLE linked_hubs",
        old_table,
        "DELETE FROM _yoyo_migration WHERE migration_id = '0002-hubs'",
        *(
            "INSERT INTO hub_devices (device_id, registration_key, registration, generation_id, etag, created_at, "
            "updated_at, enabled, sealed, thumbprint, initial_twin, iot_edge) VALUES "
            f"('{name}', '{name}', '{name}', 'g', 'e', 1, 2, 0, x'01', x'02', {initial_twin}, 1)"
            for name, initial_twin in rows
        ),
    )
    schema.migrate(path)
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT hub, device_id, tags, desired FROM hub_devices").fetchall()
    facts = connection.execute(
        "SELECT DISTINCT generation_id, created_at, updated_at, enabled, sealed, thumbprint, iot_edge, twin_version "
        "FROM hub_devices"
    ).fetchall()
    connection.close()
    assert found == [
        ("", "a", '{"floor":5}', '{"on":[true,null]}'),
        *(("", name, "{}", "{}") for name in "bcd"),
    ]
    assert facts == [("g", 1, 2, 0, b"\x01", b"\x02", 1, 2)]


def test_a_newer_version_s_database_is_refused(tmp_path):
    path = tmp_path / "a.db"
    schema.migrate(path)
    execute(
        path,
        "INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('h', '9999-from-the-future')",
    )
    with pytest.raises(DatabaseUnusable, match="newer version of accredit .it has 9999-from-the-future"):
        schema.migrate(path)


def test_what_is_no_database_is_refused(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(DatabaseUnusable, match=r"a\.db can't be used: file is not a database"):
        schema.migrate(path)
