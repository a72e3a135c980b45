"""`accredit hub`: the hubs that devices may be assigned to, and what the embedded ones received."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import ServiceClient, resource, text_of
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.domain.access import Realm

app = typer.Typer(no_args_is_help=True, help="Linked hubs, and what the embedded ones received.")

PAGE = 500
WAIT_S = 20


@app.callback()
def hub() -> None:
    """Linked hubs, and what the embedded ones received."""


Name = Annotated[str, typer.Argument(help="The hub's host name.")]


@app.command()
def link(
    name: Name,
    connection_string_file: Annotated[
        Path | None,
        typer.Option(
            help="A hub elsewhere: a file that holds its connection string; - reads standard input. Without it the hub is "
            "embedded in this service."
        ),
    ] = None,
    location: Annotated[str | None, typer.Option(help="The region that geoLatency compares.")] = None,
    weight: Annotated[int | None, typer.Option(help="Its share of the devices, 1 to 1000.")] = None,
    only_named: Annotated[
        bool, typer.Option("--only-named", help="Only for devices whose enrollment names it.")
    ] = False,
    trust_anchors: Annotated[
        Path | None, typer.Option(help="PEM file of what its TLS may chain to, beside the system's roots.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change a linked hub; its connection string stays unless given.")
    ] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Link a hub, so that devices can be assigned to it."""
    body: dict[str, Any] = {"applyAllocationPolicy": not only_named}
    if connection_string_file is not None:
        body["connectionString"] = text_of(connection_string_file).strip()
    if location is not None:
        body["location"] = location
    if weight is not None:
        body["allocationWeight"] = weight
    if trust_anchors is not None:
        body["trustAnchors"] = text_of(trust_anchors)
    headers = {"if-match": "*"} if replace else None
    answer = client(data_dir, remote, trust).call("PUT", resource("/linkedHubs", name), body, headers=headers)
    render.document(answer.json())


@app.command("list")
def listing(
    as_json: Json = False, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None
) -> None:
    """List the linked hubs."""
    rows = client(data_dir, remote, trust).rows("GET", "/linkedHubs")
    columns = (
        ("name", "name"),
        ("kind", "kind"),
        ("location", "location"),
        ("weight", "allocationWeight"),
        ("for all", "applyAllocationPolicy"),
    )
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Show one linked hub; its connection string is write-only."""
    render.document(client(data_dir, remote, trust).call("GET", resource("/linkedHubs", name)).json())


@app.command()
def unlink(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Unlink a hub that no device is assigned to and no enrollment names."""
    client(data_dir, remote, trust).call("DELETE", resource("/linkedHubs", name), headers={"if-match": "*"})


@app.command()
def telemetry(
    device: Annotated[str | None, typer.Option(help="Only this device's messages.")] = None,
    hub: Annotated[str | None, typer.Option(help="Only what this embedded hub received.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on as messages arrive; end with Ctrl-C.")
    ] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Show the messages that devices sent. A remote service needs a connection string of its hub's policies."""
    service = client(data_dir, remote, trust, Realm.HUB)
    columns = (
        ("#", "sequenceNumber"),
        ("device", "deviceId"),
        ("enqueued", "enqueuedTimeUtc"),
        ("body", "body"),
        ("properties", "properties"),
    )
    rows = _messages(service, {"deviceId": device, "hub": hub}, follow)
    if not follow:
        render.listing(rows, columns, as_json=as_json)
        return
    try:
        for row in rows:
            render.listing([row], columns, as_json=as_json)
    except KeyboardInterrupt:
        return


def _messages(
    service: ServiceClient, narrowed: dict[str, str | None], follow: bool
) -> Iterator[dict[str, Any]]:
    asked = {name: value for name, value in narrowed.items() if value is not None}
    after = 0
    while True:
        query: dict[str, str | int] = {
            "after": after,
            "limit": PAGE,
            "wait": WAIT_S if follow else 0,
            **asked,
        }
        rows = service.call("GET", "/messages/events", query=query).json()
        yield from rows
        if rows:
            after = rows[-1]["sequenceNumber"]
        elif not follow:
            return
