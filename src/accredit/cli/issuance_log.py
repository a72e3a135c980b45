"""`accredit log`: the issuance log's head, its export, and whether it is what it was.

`verify` computes every hash anew, here: of the running service, or of an export, against a head that was kept.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.cli import render
from accredit.cli.connection import ServiceClient
from accredit.cli.kept_heads import KeptHeads, kept_heads
from accredit.cli.local import DataDir, Remote, Trust, client
from accredit.cli.problem import Problem
from accredit.domain import merkle
from accredit.domain.errors import Malformed
from accredit.domain.issuance_log import LeafKind, leaf_hash
from accredit.wire.service_api.tree import ExportedShown, exported_body

app = typer.Typer(no_args_is_help=True, help="The issuance log.")

SHOWN = 20
"""How many disagreements are told one by one."""

PAGE = 1_000


@app.command()
def head(data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Print the newest signed tree head; keep it somewhere else, and what it covers can't be changed unnoticed."""
    render.document(client(data_dir, remote, trust).call("GET", "/issuanceLog/head").json())


@app.command()
def witness(data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Show how far the log's witness is: which heads it has taken, and whether one waits for it, and why."""
    render.document(client(data_dir, remote, trust).call("GET", "/issuanceLog/witness").json())


@app.command()
def export(
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; standard output by default.")
    ] = None,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Write every leaf of the log with what it covers, one JSON object a line, in the order of the tree."""
    service = client(data_dir, remote, trust)
    try:
        if out is None:
            for row in _entries(service):
                print(msgspec.json.encode(row).decode())
            return
        with out.open("wb") as file:
            for row in _entries(service):
                file.write(msgspec.json.encode(row) + b"\n")
    except OSError as error:
        raise Problem(f"{out} can't be written: {error}.") from None


@app.command()
def verify(
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            help="A tree head that was kept, or a witness's file with one a line: the log must still begin with each.",
        ),
    ] = None,
    exported: Annotated[
        Path | None, typer.Option("--export", help="Check this export instead of a service; needs --against.")
    ] = None,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Check that leaves and certificates match, both ways, or that the log still is what a head says it was."""
    if against is not None:
        kept = kept_heads(against)
        rows = _read_export(exported) if exported else _entries(client(data_dir, remote, trust))
        print(_checked(kept, rows))
        return
    if exported is not None:
        raise Problem("An export is checked against a head: add --against HEAD.")
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


def _entries(service: ServiceClient) -> Iterator[ExportedShown]:
    start = 0
    while True:
        query: dict[str, str | int] = {"start": start, "limit": PAGE}
        answer = service.call("GET", "/issuanceLog/entries", query=query)
        rows = msgspec.json.decode(answer.content, type=list[ExportedShown])
        if not rows:
            return
        yield from rows
        start = rows[-1].sequence + 1


def _read_export(path: Path) -> Iterator[ExportedShown]:
    try:
        with nullcontext(sys.stdin) if str(path) == "-" else path.open() as file:
            for number, line in enumerate(file, 1):
                try:
                    yield msgspec.json.decode(line, type=ExportedShown)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    raise Problem(f"Line {number} of {path} is no leaf of an issuance log.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} can't be read: {error}.") from None


def _checked(kept: KeptHeads, rows: Iterable[ExportedShown]) -> str:
    """What there is to say when the log begins with what every head covers; raises Problem when it does not."""
    newest = kept.largest
    peaks: dict[merkle.Node, bytes] = {}
    size = beyond = agreeing = 0
    differing = None if newest.size or newest.root == merkle.EMPTY_ROOT else 0
    went_back = ""
    for row in rows:
        if row.sequence != size + beyond:
            raise Problem(f"Leaf {size + beyond} is missing: after it comes {row.sequence}.")
        digest = _recomputed(row)
        if row.kind == LeafKind.RESTORATION.name.lower():
            went_back = f" Leaf {row.sequence} says that a backup was restored on {_iso(row.logged_at)}."
        if size == newest.size:
            beyond += 1
            continue
        made = merkle.grown(size, peaks, [digest])
        size += 1
        # Only the subtrees on the right edge are needed again.
        peaks = {node: (peaks | made)[node] for node in merkle.Range(0, size).nodes()}
        head = kept.by_size.get(size)
        if head is not None and differing is None:
            if merkle.root(size, peaks) == head.root:
                agreeing = size
            else:
                differing = size
    if differing is not None:
        raise Problem(_differs(differing, agreeing) + went_back)
    if size < newest.size:
        raise Problem(
            f"The head covers {newest.size} leaves, but there are only {size}: leaves were removed.{went_back}"
        )
    return _agreement(kept, beyond)


def _differs(size: int, agreeing: int) -> str:
    begun = f"The first {agreeing} still are: look at those after them. " if agreeing else ""
    return (
        f"The first {size} leaves are not those that the head covers: one was changed, removed or put in. "
        f"{begun}Compare with an earlier export to see which."
    )


def _agreement(kept: KeptHeads, beyond: int) -> str:
    newest = kept.largest
    heads = f"the head of {_iso(newest.signed_at)}"
    if len(kept.by_size) > 1:
        heads = f"the newest of {len(kept.by_size)} heads, of {_iso(newest.signed_at)}, and with what each of the others covers"
    keys = ", ".join(sorted(key.hex() for key in kept.keys))
    told = f"the key {keys}: compare it with the one that you were told."
    if len(kept.keys) > 1:
        told = f"the keys {keys}: compare them with those that you were told."
    broken = (
        f" Lines that are no heads, and were passed over: {kept.broken_lines}." if kept.broken_lines else ""
    )
    return (
        f"The issuance log still begins with the {newest.size} leaves of {heads}; {beyond} were added since. "
        f"Signed with {told}{broken}"
    )


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat().replace("+00:00", "Z")


def _recomputed(row: ExportedShown) -> bytes:
    """The row's leaf hash from what it covers; raises Problem where the two don't agree."""
    try:
        body = exported_body(row)
        kind = LeafKind[row.kind.upper()]
    except Malformed as error:
        raise Problem(error.message) from None
    if body is None:
        raise Problem(f"The certificate of leaf {row.sequence} is gone (SHA-256 {row.sha256}).")
    digest = leaf_hash(kind, row.authority.lower(), row.logged_at, body)
    covered = hashlib.sha256(body).hexdigest() if kind is LeafKind.CERTIFICATE else row.sha256
    if digest.hex() != row.leaf_hash or covered != row.sha256:
        raise Problem(f"Leaf {row.sequence} does not cover what stands in it: one of the two was changed.")
    return digest


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
