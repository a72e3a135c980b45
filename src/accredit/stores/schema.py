"""The tables' versions: numbered plain SQL files. Those that a database has not had are applied in one transaction, with their marks.

The marks stand in a table that is named after yoyo-migrations, which applied the files of earlier versions. A database that has
marks which this version does not know was written by a newer one, and is refused.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from importlib import resources
from pathlib import Path

_MARKS = """
CREATE TABLE IF NOT EXISTS _yoyo_migration (
  migration_hash VARCHAR(64), migration_id VARCHAR(255), applied_at_utc TIMESTAMP, PRIMARY KEY (migration_hash)
);
"""


class DatabaseUnusable(Exception):
    """One sentence for the operator."""


def migrate(path: Path) -> None:
    """Bring the database up to this version. The caller owns the data folder. Raises DatabaseUnusable."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            there = applied(connection)
            refuse_newer(f"The database {path}", there)
            steps = {name: text for name, text in _shipped().items() if name not in there}
            if steps:
                _apply(connection, steps)
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"The database {path} can't be used: {error}.") from error


def refuse_newer(what: str, migrations: Collection[str]) -> None:
    """Raises DatabaseUnusable where `what` has had migrations that this version does not know."""
    unknown = sorted(set(migrations) - _shipped().keys())
    if unknown:
        raise DatabaseUnusable(
            f"{what} was written by a newer version of accredit (it has {unknown[-1]}): "
            "use that version, or an earlier backup."
        )


def _shipped() -> dict[str, str]:
    files = resources.files("accredit.stores").joinpath("migrations").iterdir()
    return {
        file.name.removesuffix(".sql"): file.read_text("utf-8")
        for file in files
        if file.name.endswith(".sql")
    }


def applied(connection: sqlite3.Connection) -> set[str]:
    """The migrations that this database has had."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_yoyo_migration'").fetchone()
    if known is None:
        return set()
    return {row[0] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")}


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the database is of this version."""
    return applied(connection) == _shipped().keys()


def _apply(connection: sqlite3.Connection, steps: Mapping[str, str]) -> None:
    """All of them or none: a transaction that an error leaves open ends with the connection."""
    scripts = [f"{steps[name]}\n;{_mark(name)};\n" for name in sorted(steps)]
    connection.executescript("".join(("BEGIN IMMEDIATE;", _MARKS, *scripts, "COMMIT;")))


def _mark(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return (
        "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) "  # noqa: S608 - our own files' names
        f"VALUES ('{digest}', '{name}', CURRENT_TIMESTAMP)"
    )
