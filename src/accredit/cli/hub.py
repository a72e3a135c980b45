"""`accredit hub`: what the embedded hub received."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import ServiceClient
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.domain.access import Realm

app = typer.Typer(no_args_is_help=True, help="The embedded hub.")

PAGE = 500
WAIT_S = 20


@app.callback()
def hub() -> None:
    """The embedded hub."""


@app.command()
def telemetry(
    device: Annotated[str | None, typer.Option(help="Only this device's messages.")] = None,
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
    rows = _messages(service, device, follow)
    if not follow:
        render.listing(rows, columns, as_json=as_json)
        return
    try:
        for row in rows:
            render.listing([row], columns, as_json=as_json)
    except KeyboardInterrupt:
        return


def _messages(service: ServiceClient, device: str | None, follow: bool) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        query: dict[str, str | int] = {"after": after, "limit": PAGE, "wait": WAIT_S if follow else 0}
        if device is not None:
            query["deviceId"] = device
        rows = service.call("GET", "/messages/events", query=query).json()
        yield from rows
        if rows:
            after = rows[-1]["sequenceNumber"]
        elif not follow:
            return
