"""Documents of the issuance log's tree: heads, proofs, exported leaves; and the reading of a head that somebody kept."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from accredit.domain.errors import Malformed
from accredit.domain.issuance_log import LeafKind, PlacedLeaf
from accredit.domain.tree_head import TreeHead
from accredit.domain.witness import Witnessed, WitnessStanding
from accredit.wire.instants import iso
from accredit.wire.service_api.documents import read

_HASH_BYTES = 32
_SIGNATURE_BYTES = 64
_MAX_SIZE = (1 << 63) - 1


class HeadDocument(msgspec.Struct, rename="camel"):
    """A HEAD file, and the answer of `GET /issuanceLog/head`."""

    tree_size: int
    root_hash: str
    timestamp: int
    public_key: str
    signature: str


class WitnessedShown(msgspec.Struct, rename="camel"):
    """A head that the witness has taken, and when."""

    tree_size: int
    at: str


class WitnessShown(msgspec.Struct, rename="camel"):
    """The answer of `GET /issuanceLog/witness`; what waits is absent when nothing does."""

    witness: str
    behind: bool
    taken: list[WitnessedShown]
    waiting_tree_size: int | None = None
    waiting_since: str | None = None
    failure: str | None = None
    contradiction: str | None = None


class InclusionShown(msgspec.Struct, rename="camel"):
    """The answer of `GET /issuanceLog/inclusion`."""

    sequence: int
    leaf_hash: str
    proof: list[str]
    head: HeadDocument


class ConsistencyShown(msgspec.Struct, rename="camel"):
    """The answer of `GET /issuanceLog/consistency`."""

    first: int
    proof: list[str]
    head: HeadDocument


class ExportedShown(msgspec.Struct, rename="camel", omit_defaults=True):
    """One row of `GET /issuanceLog/entries`, and one line of an export."""

    sequence: int
    kind: str
    authority: str
    sha256: str
    logged_at: int
    leaf_hash: str
    certificate: str | None = None


def head_document(head: TreeHead) -> HeadDocument:
    return HeadDocument(
        tree_size=head.size,
        root_hash=head.root.hex(),
        timestamp=head.signed_at,
        public_key=base64.b64encode(head.public_key).decode(),
        signature=base64.b64encode(head.signature).decode(),
    )


def head_line(head: TreeHead) -> bytes:
    """What a witness is given: the document in one line, with its end."""
    return msgspec.json.encode(head_document(head)) + b"\n"


def last_head(tail: bytes) -> TreeHead | None:
    """The last whole line of a witness's file that is a head, of the file's end."""
    for line in reversed(tail.split(b"\n")):
        try:
            return read_head(line)
        except Malformed:
            continue
    return None


def witness_document(standing: WitnessStanding, taken: Sequence[Witnessed]) -> dict[str, Any]:
    shown = WitnessShown(
        witness=standing.witness,
        behind=standing.is_behind,
        taken=[WitnessedShown(each.size, iso(each.at)) for each in taken],
        waiting_tree_size=standing.waiting_size,
        waiting_since=None if standing.waiting_since is None else iso(standing.waiting_since),
        failure=standing.failure,
        contradiction=standing.contradiction,
    )
    return {name: value for name, value in _members(shown).items() if value is not None}


def read_head(body: bytes) -> TreeHead:
    """Raises Malformed. Whether the signature is good is for the caller to ask (`TreeHead.signed_by`)."""
    return head_of(read(body, HeadDocument))


def head_of(document: HeadDocument) -> TreeHead:
    """The same of a document that was read already."""
    try:
        root = bytes.fromhex(document.root_hash)
        key = base64.b64decode(document.public_key, validate=True)
        signature = base64.b64decode(document.signature, validate=True)
    except (ValueError, binascii.Error):
        raise _malformed() from None
    sizes = (len(root), len(key), len(signature))
    numbers = (document.tree_size, document.timestamp)
    if sizes != (_HASH_BYTES, _HASH_BYTES, _SIGNATURE_BYTES) or not all(
        0 <= each <= _MAX_SIZE for each in numbers
    ):
        raise _malformed()
    return TreeHead(document.tree_size, root, document.timestamp, key, signature)


def inclusion_document(placed: PlacedLeaf, head: TreeHead, proof: Sequence[bytes]) -> dict[str, Any]:
    assert placed.sequence is not None
    shown = InclusionShown(
        placed.sequence, placed.leaf.leaf_hash.hex(), [each.hex() for each in proof], head_document(head)
    )
    return _members(shown)


def consistency_document(first: int, head: TreeHead, proof: Sequence[bytes]) -> dict[str, Any]:
    return _members(ConsistencyShown(first, [each.hex() for each in proof], head_document(head)))


def exported_document(placed: PlacedLeaf, certificate: bytes | None) -> dict[str, Any]:
    """`certificate` is the DER that a certificate's leaf covers, None where it is not there or the leaf has none."""
    assert placed.sequence is not None
    leaf = placed.leaf
    shown = ExportedShown(
        sequence=placed.sequence,
        kind=leaf.kind.name.lower(),
        authority=leaf.authority.text,
        sha256=leaf.sha256.hex(),
        logged_at=leaf.logged_at,
        leaf_hash=leaf.leaf_hash.hex(),
        certificate=None if certificate is None else base64.b64encode(certificate).decode(),
    )
    return _members(shown)


def exported_body(row: ExportedShown) -> bytes | None:
    """What the row's leaf hash is over; None where the row does not carry it, because the certificate was lost.

    Raises Malformed for a row that is none.
    """
    try:
        kind = LeafKind[row.kind.upper()]
        if kind is LeafKind.CERTIFICATE:
            return None if row.certificate is None else base64.b64decode(row.certificate, validate=True)
        return bytes.fromhex(row.sha256)
    except (KeyError, ValueError, binascii.Error):
        raise Malformed("The export has a line that is no leaf.", rule="log-export") from None


def _members(shown: msgspec.Struct) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.to_builtins(shown)
    return members


def _malformed() -> Malformed:
    return Malformed("This is no signed tree head.", rule="log-head")
