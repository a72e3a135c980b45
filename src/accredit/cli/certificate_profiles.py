"""`accredit profile`: what the certificates of the built-in CA look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import resource, text_of
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import Problem

app = typer.Typer(no_args_is_help=True, help="Certificate profiles: what the built-in CA's leaves look like.")

Name = Annotated[str, typer.Argument(help="The profile's name.")]


@app.command()
def add(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The profile as JSON; - reads standard input.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a profile of this name.")] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Add a certificate profile, for enrollments to name with --profile."""
    headers = {"if-match": "*"} if replace else None
    answer = client(data_dir, remote, trust).call(
        "PUT", resource("/certificateProfiles", name), _document(file), headers=headers
    )
    render.document(answer.json())


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(text_of(file))
    except ValueError as error:
        raise Problem(f"{file} is no JSON document: {error}.") from None
    if not isinstance(document, dict):
        raise Problem(f"{file} holds no JSON object.")
    return document


@app.command("list")
def listing(
    as_json: Json = False, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None
) -> None:
    """List the certificate profiles."""
    rows = client(data_dir, remote, trust).rows("GET", "/certificateProfiles")
    columns = (("name", "name"), ("version", "version"), ("updated", "lastUpdatedDateTimeUtc"))
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Show one certificate profile."""
    render.document(
        client(data_dir, remote, trust).call("GET", resource("/certificateProfiles", name)).json()
    )


@app.command()
def remove(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Remove a certificate profile that no enrollment names."""
    client(data_dir, remote, trust).call(
        "DELETE", resource("/certificateProfiles", name), headers={"if-match": "*"}
    )
