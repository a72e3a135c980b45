"""The issuance log's tree in the store: statements, the change that makes it grow, and what is read for proofs.

A leaf is appended by the unit that records its certificate, without a place, so that no registration waits for another;
places are given afterwards, in the order of commits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.issuance_log import LeafKind, PlacedLeaf
from accredit.domain.merkle import Node
from accredit.domain.tree_head import TreeHead
from accredit.domain.witness import Witnessed
from accredit.stores import rows
from accredit.stores.reading import Reading
from accredit.stores.steps import UnitOfWork

PLACE = """
INSERT INTO log_sequence (sequence, leaf_id, sha256) SELECT ?, id, sha256 FROM log_leaves WHERE id = ?"""
_KEEP_NODE = "INSERT INTO log_nodes (level, position, hash) VALUES (?, ?, ?)"
_KEEP_HEAD = "INSERT INTO log_heads (size, root, signed_at, public_key, signature) VALUES (?, ?, ?, ?, ?)"
_SIZE = "SELECT MAX(sequence) + 1 FROM log_sequence"

LEAF = "l.id, l.kind, l.authority, l.sha256, l.logged_at, l.leaf_hash"
# In SQLite ids are given in the order of commits, so what has no place yet stands behind all that has one.
UNPLACED = f"""
SELECT {LEAF} FROM log_leaves l
WHERE l.id > COALESCE((SELECT leaf_id FROM log_sequence ORDER BY sequence DESC LIMIT 1), 0)
ORDER BY l.id LIMIT ?"""  # noqa: S608 - the names of columns
_PLACED = f"""
SELECT {LEAF}, s.sequence FROM log_sequence s JOIN log_leaves l ON l.id = s.leaf_id
WHERE s.sequence >= ? ORDER BY s.sequence LIMIT ?"""  # noqa: S608 - the names of columns
_PLACE_OF = f"""
SELECT {LEAF}, s.sequence FROM log_sequence s JOIN log_leaves l ON l.id = s.leaf_id
WHERE s.sha256 = ? ORDER BY s.sequence LIMIT 1"""  # noqa: S608 - the names of columns
_PLACE_OF_KIND = f"""
SELECT {LEAF}, s.sequence FROM log_sequence s JOIN log_leaves l ON l.id = s.leaf_id
WHERE s.sha256 = ? AND l.kind = ? ORDER BY s.sequence LIMIT 1"""  # noqa: S608 - the names of columns
_NODE = "SELECT hash FROM log_nodes WHERE level = ? AND position = ?"
_LEAF_HASH = """
SELECT l.leaf_hash FROM log_sequence s JOIN log_leaves l ON l.id = s.leaf_id WHERE s.sequence = ?"""
_HEAD = "SELECT size, root, signed_at, public_key, signature FROM log_heads ORDER BY size DESC LIMIT 1"
_HEAD_OF = "SELECT size, root, signed_at, public_key, signature FROM log_heads WHERE size = ?"

_WITNESS = """
INSERT INTO log_witnessed (witness, size, taken_at) VALUES (?, ?, ?) ON CONFLICT (witness, size) DO NOTHING"""
_WITNESSED = "SELECT witness, size, taken_at FROM log_witnessed WHERE witness = ? ORDER BY size DESC LIMIT ?"


def _grow(change: c.GrowLogTree, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    def unchanged(row: rows.Row | None) -> bool:
        return row is not None and (row[0] or 0) == change.size

    unit.steps.append((_SIZE, (), unchanged, change))
    for place, leaf_id in enumerate(change.leaf_ids, change.size):
        unit.steps.append((PLACE, (place, leaf_id), 1, change))
    for (level, position), kept in change.nodes.items():
        if level:
            unit.steps.append((_KEEP_NODE, (level, position, kept), 1, change))
    head = change.head
    values = (head.size, head.root, head.signed_at, head.public_key, head.signature)
    unit.steps.append((_KEEP_HEAD, values, 1, change))


def _witness(change: c.RecordWitnessed, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    taken = change.witnessed
    unit.steps.append((_WITNESS, (taken.witness, taken.size, taken.at), None, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    c.GrowLogTree: _grow,
    c.RecordWitnessed: _witness,
}


class LogTreeReads(Reading):
    """The reading half of the store for the tree."""

    async def unplaced_leaves(self, limit: int) -> Sequence[PlacedLeaf]:
        return [PlacedLeaf(rows.leaf(row), row[0], None) for row in await self._rows(UNPLACED, (limit,))]

    async def placed_leaves(self, start: int, limit: int) -> Sequence[PlacedLeaf]:
        return [_placed(row) for row in await self._rows(_PLACED, (start, limit))]

    async def placed_leaf(self, sha256: bytes, kind: LeafKind | None = None) -> PlacedLeaf | None:
        if kind is None:
            found = await self._rows(_PLACE_OF, (sha256,))
        else:
            found = await self._rows(_PLACE_OF_KIND, (sha256, kind.value))
        return _placed(found[0]) if found else None

    async def log_nodes(self, nodes: Collection[Node]) -> dict[Node, bytes]:
        hashes: dict[Node, bytes] = {}
        for level, position in nodes:
            found = (
                await self._rows(_NODE, (level, position))
                if level
                else await self._rows(_LEAF_HASH, (position,))
            )
            if found:
                hashes[level, position] = found[0][0]
        return hashes

    async def tree_head(self, size: int | None = None) -> TreeHead | None:
        found = await self._rows(_HEAD, ()) if size is None else await self._rows(_HEAD_OF, (size,))
        return TreeHead(*found[0]) if found else None

    async def witnessed(self, witness: str, limit: int) -> Sequence[Witnessed]:
        return [Witnessed(*row) for row in await self._rows(_WITNESSED, (witness, limit))]


def _placed(row: rows.Row) -> PlacedLeaf:
    return PlacedLeaf(rows.leaf(row[:-1]), row[0], row[-1])
