"""The tables' versions: numbered plain SQL files, applied by yoyo-migrations, each in one transaction.

yoyo is loaded only where something is to be applied: it costs a start-up more than all else here. Its own table says
what was applied. A database that has steps which this version does not know was written by a newer one, and is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from urllib.parse import quote

_SOURCE = "package:accredit.stores:migrations"


class DatabaseUnusable(Exception):
    """One sentence for the operator."""


def migrate(path: Path) -> None:
    """Bring the database up to this version. The caller owns the data folder. Raises DatabaseUnusable."""
    try:
        there = _applied(path)
        refuse_newer(f"The database {path}", there)
        if there != _shipped():
            _apply(path)
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"The database {path} can't be used: {error}.") from error


def refuse_newer(what: str, migrations: Collection[str]) -> None:
    """Raises DatabaseUnusable where `what` has had migrations that this version does not know."""
    unknown = sorted(set(migrations) - _shipped())
    if unknown:
        raise DatabaseUnusable(
            f"{what} was written by a newer version of accredit (it has {unknown[-1]}): "
            "use that version, or an earlier backup."
        )


def _shipped() -> set[str]:
    files = resources.files("accredit.stores").joinpath("migrations").iterdir()
    return {file.name.removesuffix(".sql") for file in files if file.name.endswith(".sql")}


def _applied(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return applied(connection)
    finally:
        connection.close()


def applied(connection: sqlite3.Connection) -> set[str]:
    """The migrations that this database has had."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_yoyo_migration'").fetchone()
    if known is None:
        return set()
    return {row[0] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")}


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the database is of this version."""
    return applied(connection) == _shipped()


def _apply(path: Path) -> None:
    import yoyo  # noqa: PLC0415 - a tenth of a second that only the first start of a version should pay

    with yoyo.get_backend(f"sqlite:///{quote(str(path.absolute()))}") as backend:
        # Who owns the data folder is alone with it: a lock that is still there is a dead process's.
        backend.break_lock()
        backend.ensure_internal_schema_updated()
        for migration in backend.to_apply(yoyo.read_migrations(_SOURCE)):
            # A step and its mark in one transaction. Without a log entry: that one asks the resolver for our name.
            with backend.transaction():
                migration.process_steps(backend, "apply")
                backend.mark_one(migration, log=False)
