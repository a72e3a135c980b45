"""`accredit ca-certificate`: CA certificates that enrollments refer to by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import Problem

app = typer.Typer(no_args_is_help=True, help="CA certificates that enrollments refer to by name.")

Name = Annotated[str, typer.Argument(help="The CA certificate's name.")]

_COLLECTION = "/caCertificates"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} can't be read as PEM: {error}.") from None


@app.command()
def add(
    name: Name,
    file: Annotated[Path, typer.Argument(help="PEM file of the CA's certificate.")],
    verified: Annotated[
        bool, typer.Option("--verified", help="Trust it without a proof that its key is yours.")
    ] = False,
    purpose: Annotated[
        str, typer.Option(help="x509, or tpmVendorRoot for a root that TPM endorsement keys chain to.")
    ] = "x509",
    replace: Annotated[bool, typer.Option("--replace", help="Replace one of this name.")] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Upload a CA certificate; it proves nothing before it is verified."""
    body: dict[str, Any] = {"certificate": _read(file), "purpose": purpose}
    if verified:
        body["isVerified"] = True
    headers = {"if-match": "*"} if replace else None
    answer = client(data_dir, remote, trust).call("PUT", resource(_COLLECTION, name), body, headers=headers)
    render.document(answer.json())


@app.command()
def verify(
    name: Name,
    certificate: Annotated[
        Path | None,
        typer.Option(help="PEM file of a certificate that the CA signed, whose common name is the code."),
    ] = None,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Print a verification code and nothing else; with --certificate, prove possession by it."""
    service = client(data_dir, remote, trust)
    if certificate is None:
        answer = service.call("POST", resource(_COLLECTION, name, "verificationCode"))
        print(answer.json()["verificationCode"])
        return
    body = {"certificate": _read(certificate)}
    render.document(service.call("POST", resource(_COLLECTION, name, "verify"), body).json())


@app.command("list")
def listing(
    as_json: Json = False, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None
) -> None:
    """List the uploaded CA certificates."""
    rows = client(data_dir, remote, trust).rows("GET", _COLLECTION)
    columns = (
        ("name", "name"),
        ("subject", "info.subjectName"),
        ("purpose", "purpose"),
        ("verified", "isVerified"),
        ("ends", "info.notAfterUtc"),
    )
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Show one uploaded CA certificate."""
    render.document(client(data_dir, remote, trust).call("GET", resource(_COLLECTION, name)).json())


@app.command()
def remove(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Remove a CA certificate that no enrollment refers to."""
    client(data_dir, remote, trust).call("DELETE", resource(_COLLECTION, name), headers={"if-match": "*"})
