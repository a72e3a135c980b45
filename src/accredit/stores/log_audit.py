"""The issuance log of a database that nobody serves, computed anew from what its leaves cover."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from accredit.domain import merkle
from accredit.domain.issuance_log import LeafKind, leaf_hash
from accredit.domain.tree_head import TreeHead
from accredit.stores.rows import Row
from accredit.stores.schema import DatabaseUnusable

_ENTRIES = """
SELECT s.sequence, l.kind, l.authority, l.sha256, l.logged_at, l.leaf_hash, c.leaf
FROM log_sequence s JOIN log_leaves l ON l.id = s.leaf_id LEFT JOIN certificates c ON c.sha256 = l.sha256
ORDER BY s.sequence"""
_HEADS = "SELECT size, root, signed_at, public_key, signature FROM log_heads ORDER BY size"


def audit(path: Path) -> int:
    """Compare every tree head with the leaves that it covers; returns how many leaves stand in the tree.

    Raises DatabaseUnusable where a leaf is missing or does not cover what stands in it, or a head is not of these
    leaves or not signed with the key that it names.
    """
    try:
        connection = sqlite3.connect(path)
        try:
            return audited(connection.execute(_HEADS), connection.execute(_ENTRIES))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"The issuance log of {path} can't be read: {error}.") from error


def audited(head_rows: Iterable[Row], entries: Iterable[Row]) -> int:
    """The same of rows: heads by size, and leaves by place, each with the certificate that it is about."""
    heads = (TreeHead(*row) for row in head_rows)
    due = next(heads, None)
    peaks: dict[merkle.Node, bytes] = {}
    size = 0
    for entry in entries:
        made = merkle.grown(size, peaks, [_recomputed(size, entry)])
        size += 1
        peaks = {node: (peaks | made)[node] for node in merkle.Range(0, size).nodes()}
        if due is not None and due.size == size:
            _check(due, merkle.root(size, peaks))
            due = next(heads, None)
    if due is not None:
        raise DatabaseUnusable(
            f"The issuance log is not whole: a tree head covers {due.size} leaves, but there are only {size}."
        )
    return size


def _check(head: TreeHead, root: bytes) -> None:
    if head.root != root:
        raise DatabaseUnusable(
            f"The issuance log is not what its tree head over {head.size} leaves says: one was changed, removed or put in."
        )
    if not head.signed_by(head.public_key):
        raise DatabaseUnusable(
            f"The signature of the issuance log's tree head over {head.size} leaves is not good."
        )


def _recomputed(place: int, entry: Row) -> bytes:
    (sequence, kind, authority, sha256, logged_at, stored, certificate) = entry
    if sequence != place:
        raise DatabaseUnusable(f"The issuance log is not whole: leaf {place} is missing.")
    body = certificate if kind == LeafKind.CERTIFICATE else sha256
    if body is None:
        raise DatabaseUnusable(
            f"The certificate of leaf {place} of the issuance log is gone (SHA-256 {sha256.hex()})."
        )
    computed = leaf_hash(LeafKind(kind), authority.lower(), logged_at, body)
    if computed != stored:
        raise DatabaseUnusable(f"Leaf {place} of the issuance log does not cover what stands in it.")
    return computed
