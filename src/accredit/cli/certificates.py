"""`accredit cert`: what was issued."""

from __future__ import annotations

from typing import Annotated

import typer

from accredit.cli import render
from accredit.cli.connection import resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client

app = typer.Typer(no_args_is_help=True, help="Issued certificates.")


@app.command("list")
def listing(
    registration_id: Annotated[str | None, typer.Option(help="Only those of this registration.")] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """List every certificate of the issuance log, whatever its status."""
    query: dict[str, str | int] = {} if registration_id is None else {"registrationId": registration_id}
    rows = client(data_dir, remote, trust).rows("GET", "/certificates", query=query)
    columns = (
        ("serial", "serial"),
        ("registration", "registrationId"),
        ("authority", "authority"),
        ("status", "status"),
        ("not after", "notAfter"),
    )
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(
    serial: Annotated[str, typer.Argument(help="The serial number in hex.")],
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Show one certificate with its chain."""
    render.document(client(data_dir, remote, trust).call("GET", resource("/certificates", serial)).json())
