"""`accredit migrate`: the state of this machine's service from SQLite to PostgreSQL."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from accredit.app.data_folder import CannotStart
from accredit.cli.local import DataDir
from accredit.cli.problem import Problem
from accredit.config import BadSetting, load

_START_OF_LINE = "\r\033[K"


def migrate(
    data_dir: DataDir = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="The URL of an empty PostgreSQL database; by default ACCREDIT_DATABASE_URL, which no other user can see.",
            show_default=False,
        ),
    ] = None,
    master_key: Annotated[
        str | None,
        typer.Option("--master-key-file", help="The master key; several files, separated by commas."),
    ] = None,
) -> None:
    """Move the state from SQLite to PostgreSQL: most of it while the service runs, the rest once it is stopped."""
    from accredit.app import migration  # noqa: PLC0415 - what `serve` does not need, it need not load
    from accredit.app.world import SystemClock  # noqa: PLC0415 - the same

    flags = {"data_dir": data_dir, "master_key_file": master_key}
    try:
        config = load(flags, os.environ)
        target = config.postgresql_url
        if to is not None:
            target = load({**flags, "database_url": to}, os.environ).postgresql_url
        if target is None:
            raise Problem(
                "Name the PostgreSQL to move to: --to postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
            )
        # Where the settings name the new place already, the old one is where it is by default.
        source = config.data_dir / "accredit.db" if config.postgresql_url else config.database_path
        try:
            moved = migration.migrate(config, source, target, SystemClock(), _tell)
        finally:
            _clear()
    except (CannotStart, BadSetting) as error:
        raise Problem(str(error)) from None
    for table in moved.tables:
        if table.rows:
            print(f"{table.table}: {table.rows} rows, SHA-256 {table.digest[:16]}")
    print(
        f"Service {moved.id_scope} is in PostgreSQL at {moved.server} now, compared row by row, with an issuance log of "
        f"{moved.leaves} leaves. Serve it with ACCREDIT_DATABASE_URL; {source} is not served any more."
    )


def _tell(table: str, rows: int) -> None:
    if rows and sys.stderr.isatty():
        print(f"{_START_OF_LINE}{table}: {rows} rows", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print(_START_OF_LINE, end="", file=sys.stderr, flush=True)
