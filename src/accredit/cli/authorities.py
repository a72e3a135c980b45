"""`accredit ca`: the certificate authorities that enrollments can name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import resource, text_of
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import Problem

app = typer.Typer(no_args_is_help=True, help="Certificate authorities.")

Name = Annotated[str, typer.Argument(help="The authority's name.")]


@app.command()
def add(
    name: Name,
    kind: Annotated[
        str, typer.Option("--type", help="The certificateAuthorityType: BuiltIn, Est, Vault, ...")
    ],
    members: Annotated[
        list[str] | None, typer.Option("--set", help="A member of the type: --set url=https://ca.example.net")
    ] = None,
    member_files: Annotated[
        list[str] | None,
        typer.Option("--file", help="A member whose value stands in a file: --file token=/run/secrets/token"),
    ] = None,
    profile_name: Annotated[str | None, typer.Option(help="DigiCert: the enrollment profile's id.")] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="DigiCert: a file that holds the API key; - reads standard input.")
    ] = None,
    trust_anchors: Annotated[
        Path | None, typer.Option(help="PEM file of the roots that an answer must chain to.")
    ] = None,
    max_validity_days: Annotated[
        int | None, typer.Option(help="Longest life that a certificate may have.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an authority of this name.")] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Add a certificate authority."""
    body: dict[str, Any] = {"certificateAuthorityType": kind}
    body |= {member: _value(text) for member, text in _pairs("--set", members)}
    body |= {member: text_of(Path(path)).strip() for member, path in _pairs("--file", member_files)}
    if profile_name is not None:
        body["profileName"] = profile_name
    if api_key_file is not None:
        body["apiKey"] = text_of(api_key_file).strip()
    if trust_anchors is not None:
        body["trustAnchors"] = text_of(trust_anchors)
    if max_validity_days is not None:
        body["maxValidityDays"] = max_validity_days
    headers = {"if-match": "*"} if replace else None
    answer = client(data_dir, remote, trust).call(
        "PUT", resource("/certificateAuthorities", name), body, headers=headers
    )
    render.document(answer.json())


def _pairs(option: str, texts: list[str] | None) -> Iterator[tuple[str, str]]:
    for text in texts or ():
        member, sign, value = text.partition("=")
        if not member or not sign:
            raise Problem(f"{option} takes MEMBER=VALUE, not {text.partition('=')[0]!r}.")
        yield member, value


def _value(text: str) -> str | int:
    """A whole number is sent as one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


@app.command("list")
def listing(
    as_json: Json = False, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None
) -> None:
    """List the certificate authorities."""
    rows = client(data_dir, remote, trust).rows("GET", "/certificateAuthorities")
    columns = (("name", "name"), ("type", "certificateAuthorityType"), ("updated", "lastUpdatedDateTimeUtc"))
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Show one authority; its secrets are write-only."""
    render.document(
        client(data_dir, remote, trust).call("GET", resource("/certificateAuthorities", name)).json()
    )


@app.command()
def remove(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Remove an authority that no enrollment names."""
    client(data_dir, remote, trust).call(
        "DELETE", resource("/certificateAuthorities", name), headers={"if-match": "*"}
    )
