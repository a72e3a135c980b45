"""`accredit policy`: shared access policies, whose keys sign the tokens of service calls."""

from __future__ import annotations

from typing import Annotated

import typer

from accredit.cli import render
from accredit.cli.connection import resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import WrongUsage

app = typer.Typer(no_args_is_help=True, help="Shared access policies.")

Name = Annotated[str, typer.Argument(help="The policy's name.")]
Hub = Annotated[bool, typer.Option("--hub", help="A policy of the hub, not of the service API.")]


def _base(hub: bool) -> str:
    return "/hubPolicies" if hub else "/policies"


@app.command("list")
def listing(
    hub: Hub = False,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """List the policies and their rights, without keys."""
    rows = client(data_dir, remote, trust).rows("GET", _base(hub))
    columns = (("name", "name"), ("rights", "rights"), ("updated", "lastUpdatedDateTimeUtc"))
    render.listing(rows, columns, as_json=as_json)


@app.command()
def add(
    name: Name,
    right: Annotated[
        list[str], typer.Option("--right", help="A right to carry; may be given more than once.")
    ],
    hub: Hub = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a policy of this name; its keys stay.")
    ] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Add a policy; prints it with its keys, which are not shown again."""
    headers = {"if-match": "*"} if replace else None
    answer = client(data_dir, remote, trust).call(
        "PUT", resource(_base(hub), name), {"rights": right}, headers=headers
    )
    render.document(answer.json())


@app.command()
def rotate(
    name: Name,
    key: Annotated[str, typer.Option("--key", help="Which one to make anew: primary or secondary.")],
    hub: Hub = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Make one of a policy's two keys anew; prints both. Tokens of the old key end at once."""
    if key not in ("primary", "secondary"):
        raise WrongUsage("--key is primary or secondary.")
    answer = client(data_dir, remote, trust).call("POST", resource(_base(hub), name, "rotate"), {"key": key})
    render.document(answer.json())


@app.command()
def remove(
    name: Name, hub: Hub = False, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None
) -> None:
    """Remove a policy; its tokens end at once."""
    client(data_dir, remote, trust).call("DELETE", resource(_base(hub), name), headers={"if-match": "*"})
