"""`accredit trust-bundle`: the certificates that devices are told to trust."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from accredit.cli import render
from accredit.cli.connection import resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import Problem

app = typer.Typer(
    no_args_is_help=True, help="Trust bundles: the certificates that devices are told to trust."
)

Name = Annotated[str, typer.Argument(help="The bundle's name.")]

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def _certificates(path: Path) -> list[dict[str, str]]:
    """Every certificate of a PEM file; whatever stands between them is left out."""
    try:
        found = _BLOCK.findall(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} can't be read as PEM: {error}.") from None
    if not found:
        raise Problem(f"{path} holds no certificate in PEM.")
    return [{"certificate": block} for block in found]


@app.command()
def add(
    name: Name,
    files: Annotated[list[Path], typer.Argument(help="PEM files, each of one or more certificates.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a bundle of this name.")] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Add a trust bundle, for enrollments to name with --trust-bundle."""
    body = {"certificates": [one for path in files for one in _certificates(path)]}
    headers = {"if-match": "*"} if replace else None
    answer = client(data_dir, remote, trust).call(
        "PUT", resource("/trustBundles", name), body, headers=headers
    )
    render.document(answer.json())


@app.command("list")
def listing(
    as_json: Json = False, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None
) -> None:
    """List the trust bundles."""
    found = client(data_dir, remote, trust).rows("GET", "/trustBundles")
    if as_json:
        render.listing(found, (), as_json=True)
        return
    rows = ({**row, "count": str(len(row["certificates"]))} for row in found)
    columns = (("name", "id"), ("certificates", "count"), ("updated", "lastModifiedDateTime"))
    render.listing(rows, columns, as_json=False)


@app.command()
def show(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Show one trust bundle, as devices get it."""
    render.document(client(data_dir, remote, trust).call("GET", resource("/trustBundles", name)).json())


@app.command()
def remove(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Remove a trust bundle that no enrollment names."""
    client(data_dir, remote, trust).call("DELETE", resource("/trustBundles", name), headers={"if-match": "*"})
