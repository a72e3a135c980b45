"""`accredit revocation`: how far the revocations of whole groups and authorities are; and the verbs that begin them."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import ServiceClient, resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import WrongUsage

app = typer.Typer(no_args_is_help=True, help="Revocations of whole groups and authorities.")

Id = Annotated[str, typer.Argument(help="The revocation's id, as `accredit revocation list` shows it.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why, by RFC 5280's name: keyCompromise, cessationOfOperation, ...")
]
NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="Print its id and end; `accredit revocation show` tells how far it is."),
]

POLL_S = 0.5


def revoke_group(
    id: Annotated[str, typer.Argument(help="The group's id.")],  # noqa: A002 - the argument's name in the help
    reason: Reason,
    is_group: Annotated[
        bool, typer.Option("--group", help="Say it: the whole group is revoked, with all its devices.")
    ] = False,
    no_wait: NoWait = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Switch a group off, and revoke all of its devices; waits, and prints the receipt."""
    if not is_group:
        raise WrongUsage(
            "A whole group is revoked by `accredit enroll revoke --group ID`, one device by `accredit device revoke ID`."
        )
    service = client(data_dir, remote, trust)
    path = resource("/enrollmentGroups", id, "revoke")
    _followed(service, service.call("POST", path, {"reason": reason}).json(), wait=not no_wait)


def revoke_authority(
    name: Annotated[str, typer.Argument(help="The authority's name.")],
    reason: Reason,
    issuer: Annotated[
        str | None,
        typer.Option(
            "--issuer", help="Of a built-in one, only what this issuing CA signed: its key id in hex."
        ),
    ] = None,
    keep_devices: Annotated[
        bool,
        typer.Option(
            "--keep-devices", help="Revoke the certificates alone: each device may register for a new one."
        ),
    ] = False,
    no_wait: NoWait = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Stop an authority, and revoke all that it issued, with its devices; waits, and prints the receipt."""
    body: dict[str, Any] = {"reason": reason, "keepDevices": keep_devices}
    if issuer is not None:
        body["keyId"] = issuer
    service = client(data_dir, remote, trust)
    path = resource("/certificateAuthorities", name, "revoke")
    _followed(service, service.call("POST", path, body).json(), wait=not no_wait)


@app.command("list")
def listing(
    as_json: Json = False, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None
) -> None:
    """List the revocations of groups and authorities, as they were begun."""
    rows = client(data_dir, remote, trust).rows("GET", "/revocations")
    columns = (
        ("id", "id"),
        ("group", "enrollmentGroupId"),
        ("authority", "certificateAuthorityName"),
        ("reason", "reason"),
        ("begun", "startedDateTimeUtc"),
        ("ended", "endedDateTimeUtc"),
        ("devices", "devices"),
        ("certificates", "certificates"),
    )
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(
    id: Id,  # noqa: A002 - the argument's name in the help
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all that is ours is done.")] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Show how far one is, and what its CAs could not do."""
    service = client(data_dir, remote, trust)
    _followed(service, service.call("GET", resource("/revocations", id)).json(), wait=wait)


@app.command()
def certificates(
    id: Id,  # noqa: A002 - the argument's name in the help
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """List the certificates of one, and how far the CA of each is."""
    rows = client(data_dir, remote, trust).rows("GET", resource("/revocations", id, "certificates"))
    columns = (
        ("serial", "serial"),
        ("authority", "authority"),
        ("registration", "registrationId"),
        ("device", "deviceId"),
        ("at its CA", "atAuthority"),
    )
    render.listing(rows, columns, as_json=as_json)


def _followed(service: ServiceClient, shown: dict[str, Any], *, wait: bool) -> None:
    """Print the receipt; first wait for what is ours, where that is wanted, and show how far it is to who looks on."""
    place = resource("/revocations", shown["id"])
    watched = wait and sys.stderr.isatty()
    while wait and shown["status"] == "running":
        if watched:
            progress = shown["progress"]
            sys.stderr.write(
                f"\r{progress['done']} of {progress['total']} looked at, {shown['devices']} devices revoked"
            )
            sys.stderr.flush()
        time.sleep(POLL_S)
        shown = service.call("GET", place).json()
    if watched:
        sys.stderr.write("\r\x1b[K")
    render.document(shown)
