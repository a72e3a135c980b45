"""The tables' versions on PostgreSQL: numbered plain SQL files, each applied in one transaction with its own mark.

Processes that start together wait for each other at the mark of the step.

CockroachDB and YugabyteDB change tables outside of the transaction that says so, and CockroachDB shows a new column to no
other statement of it. There each statement stands for itself, and the mark comes last: a step that was broken off is gone
through again, and passes over what it has reached before.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import psycopg

from accredit.stores.postgresql.address import Address, reason
from accredit.stores.schema import DatabaseUnusable

_MARKS = """
CREATE TABLE IF NOT EXISTS schema_steps (id TEXT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"""
_APPLIED = "SELECT id FROM schema_steps"
_MARK = """
INSERT INTO schema_steps (id, applied_at)
VALUES (%s, CAST(EXTRACT(EPOCH FROM CURRENT_TIMESTAMP) AS BIGINT)) ON CONFLICT DO NOTHING"""
_A_STATE = "SELECT 1 FROM states LIMIT 1"
_UNFINISHED = "SELECT 1 FROM imports WHERE finished_at IS NULL"
_ATTEMPTS = 5

_VERSION = "SELECT version()"
_APART = ("CockroachDB", "-YB-")
"""Whose tables are changed apart from transactions, by what they call themselves."""

# IF NOT EXISTS does not see what another process is making: the table, its type, or a row of the catalogue for either.
_BEING_MADE = (
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
)

_REACHED_BEFORE = (
    psycopg.errors.DuplicateTable,  # or index, or view
    psycopg.errors.DuplicateColumn,
    psycopg.errors.UndefinedObject,  # an index that is gone
    psycopg.errors.UniqueViolation,
)


async def has_secrets(address: Address) -> bool:
    """Whether the database has something that was sealed. Raises DatabaseUnusable."""
    async with opened(address) as connection:
        try:
            return await (await connection.execute(_A_STATE)).fetchone() is not None
        except psycopg.errors.UndefinedTable:
            return False


async def migrate(address: Address) -> None:
    """Bring the database up to this version. Raises DatabaseUnusable."""
    async with opened(address) as connection:
        await _migrate(connection, address)


async def refuse_unfinished(address: Address) -> None:
    """Raises DatabaseUnusable where something is still to be copied into it."""
    async with opened(address) as connection:
        if await (await connection.execute(_UNFINISHED)).fetchone() is not None:
            raise DatabaseUnusable(
                f"The database at {address.server} is not whole: `accredit migrate` was not run to its end. Run it again, "
                "or begin anew with an empty database."
            )


@asynccontextmanager
async def opened(address: Address) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection; what goes wrong with it is DatabaseUnusable."""
    try:
        connection = await address.connected()
    except psycopg.Error as error:
        raise DatabaseUnusable(
            f"The PostgreSQL server {address.server} can't be used: {reason(error)}. Start it, or correct --database-url."
        ) from None
    try:
        async with connection:
            yield connection
    except psycopg.Error as error:
        raise DatabaseUnusable(f"The database at {address.server} can't be used: {reason(error)}.") from error


async def _migrate(connection: psycopg.AsyncConnection[Any], address: Address) -> None:
    await _made(connection)
    rows = await (await connection.execute(_APPLIED)).fetchall()
    applied, steps = {row[0] for row in rows}, _shipped()
    unknown = sorted(applied - steps.keys())
    if unknown:
        raise DatabaseUnusable(
            f"The database at {address.server} was written by a newer version of accredit (it has {unknown[-1]}): "
            "start that version, or restore an earlier backup."
        )
    (version,) = await (await connection.execute(_VERSION)).fetchone() or ("",)
    apart = any(name in version for name in _APART)
    for name in sorted(steps.keys() - applied):
        if apart:
            await _gone_through(connection, steps[name])
            await connection.execute(_MARK, (name,))
            continue
        async with connection.transaction():
            marked = await connection.execute(_MARK, (name,))
            if marked.rowcount:
                await connection.execute(steps[name].encode())


async def _gone_through(connection: psycopg.AsyncConnection[Any], step: str) -> None:
    for statement in filter(str.strip, re.split(r";\s*$", step, flags=re.MULTILINE)):
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await connection.execute(statement.encode())
            except _REACHED_BEFORE:
                pass
            except psycopg.errors.SerializationFailure:
                if attempt < _ATTEMPTS:
                    continue
                raise
            break


async def _made(connection: psycopg.AsyncConnection[Any]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            await connection.execute(_MARKS)
        except _BEING_MADE:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _shipped() -> dict[str, str]:
    files = resources.files("accredit.stores.postgresql").joinpath("migrations").iterdir()
    return {
        file.name.removesuffix(".sql"): file.read_text("utf-8")
        for file in files
        if file.name.endswith(".sql")
    }
