"""`accredit cert` and `accredit log`: what was issued, and whether the issuance log agrees with it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.cli import render
from accredit.cli.connection import ServiceClient, resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import Problem
from accredit.domain.issuance_log import LeafKind, leaf_hash

app = typer.Typer(no_args_is_help=True, help="Issued certificates.")
log_app = typer.Typer(no_args_is_help=True, help="The issuance log.")

SHOWN = 20
"""How many disagreements are told one by one."""


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


@log_app.command()
def verify(data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Check that leaves and certificates match, both ways; every hash is computed anew, here."""
    service = client(data_dir, remote, trust)
    leaves, disagreements = _compare(service)
    for disagreement in disagreements[:SHOWN]:
        typer.echo(disagreement, err=True)
    if disagreements:
        raise Problem(
            f"The issuance log and the certificates disagree in {len(disagreements)} places; "
            "keep a copy of the data folder and look into who changed the database."
        )
    print(
        f"The issuance log is whole: {leaves} leaves match the certificates, and the certificates the leaves."
    )


def _compare(service: ServiceClient) -> tuple[int, list[str]]:
    """The number of leaves, and each disagreement as a sentence."""
    # Leaves first: what is issued between the two readings then is a certificate without a leaf only once.
    leaves = {
        row["sha256"]: row
        for row in service.rows("GET", "/issuanceLog/leaves")
        if row["kind"] == "certificate"
    }
    certificates = {row["sha256"]: row for row in service.rows("GET", "/certificates")}
    late = set(certificates) - set(leaves)
    if late:
        leaves |= {
            row["sha256"]: row for row in service.rows("GET", "/issuanceLog/leaves") if row["sha256"] in late
        }
    problems = [
        f"certificate {certificates[sha]['serial']} has no leaf"
        for sha in sorted(set(certificates) - set(leaves))
    ]
    problems += [
        f"leaf {leaves[sha]['leafHash']} has no certificate"
        for sha in sorted(set(leaves) - set(certificates))
    ]
    for sha256 in sorted(set(leaves) & set(certificates)):
        if not _matches(leaves[sha256], certificates[sha256]):
            problems.append(
                f"leaf {leaves[sha256]['leafHash']} is not that of certificate {certificates[sha256]['serial']}"
            )
    return len(leaves), problems


def _matches(leaf: dict[str, Any], certificate: dict[str, Any]) -> bool:
    der = x509.load_pem_x509_certificate(certificate["certificate"].encode()).public_bytes(Encoding.DER)
    computed = leaf_hash(LeafKind.CERTIFICATE, leaf["authority"].lower(), leaf["loggedAt"], der)
    return bool(computed.hex() == leaf["leafHash"] and hashlib.sha256(der).hexdigest() == leaf["sha256"])
