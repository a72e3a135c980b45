"""`accredit key`: the master key, which seals all secrets at rest; commands that work on this machine's data folder."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accredit.app.data_folder import CannotStart
from accredit.cli import render
from accredit.cli.local import DataDir, Json
from accredit.cli.problem import Problem
from accredit.config import BadSetting, Config, load

if TYPE_CHECKING:
    from accredit.app.key_rotation import KeyUse

app = typer.Typer(no_args_is_help=True, help="The master key.")

MasterKeys = Annotated[
    str | None,
    typer.Option(
        "--master-key-file",
        help="The master keys' files, separated by commas, the one that seals first (ACCREDIT_MASTER_KEY_FILE).",
    ),
]

_COLUMNS = (("KEY", "keyId"), ("LOADED", "loaded"), ("SEALS", "seals"), ("VALUES", "values"))


@app.command()
def new(file: Annotated[Path, typer.Argument(help="The file to make.", show_default=False)]) -> None:
    """Make a master key in a new file of mode 0600."""
    from accredit.seal import Sealer, SealError  # noqa: PLC0415 - the other commands need it later

    try:
        print(f"{file} holds the new master key {Sealer.create(file).key_id}.")
    except SealError as error:
        raise Problem(str(error)) from None


@app.command()
def status(data_dir: DataDir = None, *, master_key: MasterKeys = None, as_json: Json = False) -> None:
    """Show which master keys are loaded, and how many values each has sealed."""
    from accredit.app import key_rotation  # noqa: PLC0415 - what `serve` does not need, it need not load

    try:
        use = asyncio.run(key_rotation.usage(_config(data_dir, master_key)))
    except (CannotStart, BadSetting) as error:
        raise Problem(str(error)) from None
    known = (*use.loaded, *sorted(use.values.keys() - set(use.loaded)))
    rows = (
        {
            "keyId": key,
            "loaded": key in use.loaded,
            "seals": key == use.sealing,
            "values": use.values.get(key, 0),
        }
        for key in known
    )
    render.listing(rows, _COLUMNS, as_json=as_json)


@app.command()
def rotate(data_dir: DataDir = None, *, master_key: MasterKeys = None) -> None:
    """Seal everything anew under the first key of --master-key-file NEW,OLD, also while the service runs with both."""
    from accredit.app import key_rotation  # noqa: PLC0415 - what `serve` does not need, it need not load

    try:
        use = asyncio.run(key_rotation.rotate(_config(data_dir, master_key), _progress))
    except (CannotStart, BadSetting) as error:
        raise Problem(str(error)) from None
    if sys.stderr.isatty():
        typer.echo(err=True)
    left = use.elsewhere
    if left:
        raise Problem(f"Still sealed with another master key: {_counted(left)}; keep it, and rotate again.")
    print(_done(use))


def _config(data_dir: Path | None, master_key: str | None) -> Config:
    return load({"data_dir": data_dir, "master_key_file": master_key}, os.environ)


def _progress(done: int) -> None:
    """On a terminal only: a line of its own that is written over."""
    if sys.stderr.isatty():
        typer.echo(f"\r{done} values sealed anew", err=True, nl=False)


def _counted(left: dict[str, int]) -> str:
    return ", ".join(f"{count} values under {key}" for key, count in sorted(left.items()))


def _done(use: KeyUse) -> str:
    old = ", ".join(key for key in use.loaded if key != use.sealing)
    return (
        f"All {use.values[use.sealing]} sealed values are under the master key {use.sealing}. Take the key {old} out of "
        "the setting master_key_file and restart the service; keep its file for as long as backups need it."
    )
