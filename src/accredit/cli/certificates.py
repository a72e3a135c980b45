"""`accredit cert`: what was issued, what comes to its end, and what serves nobody."""

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
def forecast(
    days: Annotated[int, typer.Option(min=1, max=3_650, help="How many days, from today (UTC).")] = 30,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Show how many certificates come to their renewal, and how many end, on each day to come."""
    rows = list(client(data_dir, remote, trust).rows("GET", "/certificateForecast", query={"days": days}))
    if as_json:
        render.listing(rows, (), as_json=True)
        return
    most = max((max(row["renewals"], row["ends"]) for row in rows), default=0)
    for row in rows:
        row["chart"] = render.bars(row["renewals"], row["ends"], most)
    columns = (("day", "day"), ("renewals", "renewals"), ("ends", "ends"), ("▒ renewals  █ ends", "chart"))
    render.listing(rows, columns, as_json=False)


@app.command()
def orphans(
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """List signatures that serve nobody: lost answers, and certificates that were not ordered or are bound to nothing."""
    rows = client(data_dir, remote, trust).rows("GET", "/certificateOrphans")
    columns = (
        ("kind", "kind"),
        ("authority", "authority"),
        ("serial", "serial"),
        ("registration", "registrationId"),
        ("since", "loggedAt"),
        ("what to do", "remedy"),
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
