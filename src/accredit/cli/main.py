"""The command `accredit`: exit code 0 ok, 1 refused or failed (one sentence on stderr), 2 wrong usage."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from accredit import __version__
from accredit.cli.commands import COMMANDS, group
from accredit.cli.problem import Problem

app = typer.Typer(
    name="accredit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Identity for every device: device provisioning with any certificate authority, and an embedded hub.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def accredit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Identity for every device."""


def root() -> TyperGroup:
    """The whole command line."""
    return group(app, "accredit", COMMANDS)


def main() -> None:
    """Entry point of the console script."""
    try:
        try:
            root()()
        finally:
            sys.stdout.flush()
    except Problem as problem:
        print(problem, file=sys.stderr)
        raise SystemExit(problem.exit_code) from None
    except BrokenPipeError:
        # Who read our output has read enough; the interpreter would complain of it when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
