"""The Merkle tree over the issuance log's leaf hashes: roots and proofs (RFC 6962, section 2.1; RFC 9162, section 2.1).

A subtree whose leaves are all there never changes, so its hash is kept under (level, position): the one of level `l` at
position `p` covers the leaves from p * 2^l on, 2^l of them. Everything else is folded from those. What asks for hashes
is told which ones it needs (`Range.nodes`); nothing here reads or keeps any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from accredit.values import dataclass

Node = tuple[int, int]
"""(level, position); level 0 are the leaf hashes."""

Hashes = Mapping[Node, bytes]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def parent(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Range:
    """The leaves from `start` up to, without, `end`: a subtree of some tree, so `start` fits its size."""

    start: int
    end: int

    def nodes(self) -> Iterator[Node]:
        """The whole subtrees that it is folded from, from the left."""
        start = self.start
        while start < self.end:
            level = (self.end - start).bit_length() - 1
            yield level, start >> level
            start += 1 << level

    def hash(self, hashes: Hashes) -> bytes:
        """Raises KeyError where a node is missing."""
        *rest, folded = [hashes[node] for node in self.nodes()]
        for left in reversed(rest):
            folded = parent(left, folded)
        return folded


def root(size: int, hashes: Hashes) -> bytes:
    """The root of the tree over the first `size` leaves."""
    return Range(0, size).hash(hashes) if size else EMPTY_ROOT


def grown(size: int, hashes: Hashes, leaves: Sequence[bytes]) -> dict[Node, bytes]:
    """Every whole subtree that these leaves complete, when they follow the first `size` ones; `hashes` has that tree's."""
    made: dict[Node, bytes] = {}
    for position, leaf in enumerate(leaves, size):
        made[0, position] = folded = leaf
        level, at = 0, position
        while at & 1:
            left = (level, at - 1)
            folded = parent(made[left] if left in made else hashes[left], folded)
            level, at = level + 1, at >> 1
            made[level, at] = folded
    return made


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion(index: int, size: int) -> list[Range]:
    """Whose hashes prove that leaf `index` is in the tree of `size`, from the leaf up (PATH). Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError("the tree has no such leaf")
    path: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(start, middle))
            start = middle
    return path[::-1]


def consistency(first: int, second: int) -> list[Range]:
    """Whose hashes prove that the tree of `second` begins with that of `first` (PROOF). Raises ValueError."""
    if not 0 < first <= second:
        raise ValueError("consistency is of a tree that is not empty with one that is not smaller")
    proof: list[Range] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            proof.append(Range(middle, end))
            end = middle
        else:
            proof.append(Range(start, middle))
            start, whole = middle, False
    return ([] if whole else [Range(start, end)]) + proof[::-1]


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], claimed: bytes) -> bool:
    """Whether the proof shows this leaf hash at `index` of the tree of `size` with the root `claimed` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, folded = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            folded = parent(sibling, folded)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            folded = parent(folded, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and folded == claimed


def consistent(first: int, second: int, proof: Sequence[bytes], old: bytes, new: bytes) -> bool:
    """Whether the proof shows that the tree (`second`, `new`) begins with (`first`, `old`) (RFC 9162, 2.1.4.2)."""
    if first == second:
        return old == new and not proof
    if not 0 < first < second or not proof:
        return False
    path = list(proof) if first & (first - 1) else [old, *proof]
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, newer = parent(sibling, older), parent(sibling, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = parent(newer, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and older == old and newer == new
