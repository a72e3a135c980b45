"""`accredit device`: registrations and the identities they made."""

from __future__ import annotations

from typing import Annotated

import typer

from accredit.cli import render
from accredit.cli.connection import resource, selection
from accredit.cli.local import DataDir, Json, Remote, Trust, Where, client
from accredit.cli.problem import WrongUsage

app = typer.Typer(no_args_is_help=True, help="Registrations and their devices.")

Id = Annotated[str, typer.Argument(help="The registration id.")]


@app.command("list")
def listing(
    group: Annotated[str | None, typer.Option(help="Only those of this enrollment group.")] = None,
    where: Where = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """List the registrations."""
    path = "/registrations/query" if group is None else resource("/registrations", group, "query")
    rows = client(data_dir, remote, trust).rows("POST", path, selection("registrations", where))
    columns = (
        ("registration", "registrationId"),
        ("device", "deviceId"),
        ("hub", "assignedHub"),
        ("status", "status"),
        ("paused since", "setbacks.pausedDateTimeUtc"),
        ("updated", "lastUpdatedDateTimeUtc"),
    )
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(id: Id, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:  # noqa: A002 - the argument's name in the help
    """Show one registration."""
    render.document(client(data_dir, remote, trust).call("GET", resource("/registrations", id)).json())


@app.command()
def resume(id: Id, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:  # noqa: A002 - the argument's name in the help
    """Let a device that was paused after too many failures try again; it comes by itself within minutes."""
    render.document(
        client(data_dir, remote, trust).call("POST", resource("/registrations", id, "resume")).json()
    )


@app.command()
def move(
    id: Id,  # noqa: A002 - the argument's name in the help
    group: Annotated[str | None, typer.Option(help="Hand it to this enrollment group.")] = None,
    individual: Annotated[
        bool, typer.Option("--individual", help="Hand it to the individual enrollment of its id.")
    ] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Hand a registration to another enrollment, whose proofs it then answers to."""
    if (group is None) == (not individual):
        raise WrongUsage("Name the new owner: --group NAME or --individual.")
    body = {"individual": True} if group is None else {"enrollmentGroupId": group}
    render.document(
        client(data_dir, remote, trust).call("POST", resource("/registrations", id, "move"), body).json()
    )


@app.command()
def revoke(
    id: Id,  # noqa: A002 - the argument's name in the help
    reason: Annotated[
        str,
        typer.Option("--reason", help="Why, by RFC 5280's name: keyCompromise, cessationOfOperation, ..."),
    ],
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Revoke a device: enrollment, certificates, hub identity and live connection in one act; prints the receipt."""
    path = resource("/registrations", id, "revoke")
    render.document(client(data_dir, remote, trust).call("POST", path, {"reason": reason}).json())


@app.command()
def readmit(id: Id, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:  # noqa: A002 - the argument's name in the help
    """Let a revoked device register anew, with a new key; its revoked certificates stay revoked."""
    client(data_dir, remote, trust).call("POST", resource("/registrations", id, "readmit"))
