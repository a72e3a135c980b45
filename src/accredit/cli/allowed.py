"""`accredit enroll allow` and `accredit enroll allowed`: the list of registration ids that a group is open to."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from accredit.cli import render
from accredit.cli.connection import resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import Problem, WrongUsage

AT_ONCE = 500
"""Ids of one call: with names of 128 characters it stays below the largest document."""

GroupName = Annotated[str, typer.Argument(help="The group's id.")]


def allow(
    group: GroupName,
    ids: Annotated[list[str] | None, typer.Argument(help="Registration ids.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A file with one registration id a line; - is standard input."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take them off the list instead.")] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Put registration ids on a group's list; it counts where the group was made with --allowed-only."""
    names = [*(ids or ()), *(_lines(file) if file is not None else ())]
    if not names:
        raise WrongUsage("Name at least one registration id, or a file of them with --file.")
    service = client(data_dir, remote, trust)
    path = resource("/enrollmentGroups", group, "allowedRegistrationIds")
    for portion in _portions(names):
        service.call("POST", path, {"remove" if remove else "add": portion})


def listing(
    group: GroupName,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """List the registration ids that a group is open to."""
    path = resource("/enrollmentGroups", group, "allowedRegistrationIds")
    rows = client(data_dir, remote, trust).rows("GET", path)
    render.listing(rows, (("registration", "registrationId"),), as_json=as_json)


def _lines(file: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{file} can't be read: {error}.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]
