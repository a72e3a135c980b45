"""From SQLite to PostgreSQL, while the service runs: most of the state beside it, the rest once it has stopped.

What is copied first is of one instant, whatever is committed meanwhile. The rest is what has changed since; it takes one
more reading of both. Until all of it is there and compared, nobody serves what is in PostgreSQL, and from then on nobody
what is left in SQLite.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from accredit.app.data_folder import CannotStart, DataFolder, Migrated
from accredit.app.first_names import ID_SCOPE
from accredit.config import Config
from accredit.interfaces import Clock
from accredit.seal import Sealer, SealError
from accredit.stores import schema as sqlite_schema
from accredit.stores import sealed_rows
from accredit.stores import statements as sql
from accredit.stores.schema import DatabaseUnusable
from accredit.values import dataclass

if TYPE_CHECKING:
    import psycopg

    from accredit.stores.postgresql.copying import Compared

_KNOWN = "SELECT source, finished_at FROM imports"
_BEGIN = "INSERT INTO imports (source, began_at) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_FINISH = "UPDATE imports SET finished_at = %s WHERE source = %s"

Told = Callable[[str, int], None]
"""Hears a table, and how many of its rows were gone through."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What is in PostgreSQL now. `leaves` is how many stand in the issuance log's tree."""

    server: str
    id_scope: str
    tables: Sequence[Compared]
    leaves: int


def migrate(config: Config, source: Path, url: str, clock: Clock, told: Told) -> Moved:
    """Copy the database at `source`, compare it, and say so in both. Raises CannotStart.

    Where the service runs, what is there now is copied, and CannotStart says how to go on.
    """
    import psycopg  # noqa: PLC0415 - only this command needs it without a store

    from accredit.stores.postgresql import schema  # noqa: PLC0415 - the same
    from accredit.stores.postgresql.address import Address, reason  # noqa: PLC0415 - the same

    folder = DataFolder(config.data_dir)
    if not source.exists():
        raise CannotStart(f"There is no database at {source}: name the folder of a service with --data-dir.")
    folder.refuse_half_restored()
    try:
        address = Address(url)
        asyncio.run(schema.migrate(address))
        with address.connected_at_once() as target, _lock(folder) as ours:
            return _migrate(config, source, target, address.server, clock, told, ours=ours)
    except (DatabaseUnusable, SealError) as error:
        raise CannotStart(str(error)) from None
    except sqlite3.Error as error:
        raise CannotStart(f"The database {source} can't be read: {error}.") from error
    except psycopg.Error as error:
        raise CannotStart(
            f"The copy was broken off ({reason(error)}); run the command again, it goes on."
        ) from None


def _migrate(
    config: Config,
    source: Path,
    target: psycopg.Connection[Any],
    server: str,
    clock: Clock,
    told: Told,
    *,
    ours: bool,
) -> Moved:
    """`ours`: whether nobody else can write to the source."""
    _refuse_other_version(source, ours=ours)
    with _snapshot(source) as reading:
        id_scope = _id_scope(config, source, reading)
    _refuse_other_contents(target, id_scope, server)
    target.execute(_BEGIN, (id_scope, int(clock.now())))
    compared = _pass(source, target, told)
    if not ours:
        raise CannotStart(
            "All that was there is copied, but the service runs: stop it, then run this command again. It copies the rest, "
            "compares everything, and finishes."
        )
    return _finished(config, target, server, id_scope, compared, clock)


def _pass(source: Path, target: psycopg.Connection[Any], told: Told) -> list[Compared]:
    from accredit.stores.postgresql import copying  # noqa: PLC0415 - only this command needs it

    with _snapshot(source) as reading:
        return [
            copying.carry_over(table, reading, target, partial(told, table.name))
            for table in copying.tables(target)
        ]


def _finished(
    config: Config,
    target: psycopg.Connection[Any],
    server: str,
    id_scope: str,
    compared: Sequence[Compared],
    clock: Clock,
) -> Moved:
    from accredit.stores.postgresql import copying  # noqa: PLC0415 - only this command needs it

    tables = {table.name: table for table in copying.tables(target)}
    for each in compared:
        if copying.digest(tables[each.table], target) != (each.rows, each.digest):
            raise CannotStart(
                f"The table {each.table} is not the same in both databases, though it was copied: somebody writes to one of "
                "them. End that, then run this command again."
            )
        copying.count_on(tables[each.table], target)
    leaves = copying.audit(target)
    now = int(clock.now())
    # First here: were it the other way round, a crash between them could leave two databases that both can be served.
    DataFolder(config.data_dir).write_migrated(Migrated(server, now))
    target.execute(_FINISH, (now, id_scope))
    return Moved(server, id_scope, compared, leaves)


def _refuse_other_version(source: Path, *, ours: bool) -> None:
    """Bring the source up to this version, where nobody uses it. Raises CannotStart, DatabaseUnusable."""
    if ours:
        sqlite_schema.migrate(source)
        return
    with _snapshot(source) as reading:
        if not sqlite_schema.is_current(reading):
            raise CannotStart(
                f"The service that runs on {source} is of another version than this command: use its own, or stop it first."
            )


def _refuse_other_contents(target: psycopg.Connection[Any], id_scope: str, server: str) -> None:
    """Raises CannotStart where the target holds anything else than a part of this copy."""
    from accredit.stores.postgresql import copying  # noqa: PLC0415 - only this command needs it

    known = dict(target.execute(_KNOWN).fetchall())
    if known.keys() - {id_scope} or not (known or copying.is_empty(target)):
        raise CannotStart(
            f"The database at {server} holds another service's state; name an empty one (CREATE DATABASE makes it)."
        )
    if known.get(id_scope) is not None:
        raise CannotStart(
            f"Everything was moved to the database at {server} before, and it may have been used since: serve it with "
            "ACCREDIT_DATABASE_URL, or name an empty one to move everything again."
        )


def _id_scope(config: Config, source: Path, reading: sqlite3.Connection) -> str:
    """What names the service for good. Raises SealError where the master key is not the one of this database."""
    row = reading.execute(sql.STATE, (ID_SCOPE,)).fetchone()
    if row is None:
        raise CannotStart(f"No service was started on {source} yet: there is nothing to move.")
    sealer = Sealer.load(*config.master_key_paths)
    return sealed_rows.state(ID_SCOPE, row[0], sealer).reveal().decode()


@contextmanager
def _snapshot(source: Path) -> Iterator[sqlite3.Connection]:
    """The database as it is at this instant, for reading alone."""
    connection = sqlite3.connect(
        f"file:{quote(str(source.absolute()))}?mode=ro", uri=True, isolation_level=None, timeout=30
    )
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


@contextmanager
def _lock(folder: DataFolder) -> Iterator[bool]:
    """Own the folder, unless a service does."""
    try:
        folder.lock()
    except CannotStart:
        yield False
        return
    try:
        yield True
    finally:
        folder.unlock()
