"""Heads of the issuance log that somebody kept: one in a file of its own, or a line each in a witness's file.

Every signature is checked with the key that its head names. A line that is no head is passed over and counted: a full
disk may have cut it off, and whoever could spoil a line could as well have taken it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from accredit.cli.problem import Problem
from accredit.domain.errors import Malformed
from accredit.domain.tree_head import TreeHead
from accredit.values import dataclass, field
from accredit.wire.service_api.tree import read_head

MAX_HEAD_BYTES = 64 * 1024


@dataclass(slots=True)
class KeptHeads:
    """`by_size` has one head a size: of those with the same root the newest."""

    by_size: dict[int, TreeHead] = field(default_factory=dict)
    keys: set[bytes] = field(default_factory=set)
    broken_lines: int = 0

    @property
    def largest(self) -> TreeHead:
        return self.by_size[max(self.by_size)]


def kept_heads(path: Path) -> KeptHeads:
    """What the file holds, one head at least. Raises Problem."""
    try:
        return _kept(path)
    except OSError as error:
        raise Problem(f"{path} can't be read: {error}.") from None


def _kept(path: Path) -> KeptHeads:
    with path.open("rb") as file:
        beginning = file.read(MAX_HEAD_BYTES)
    kept = KeptHeads()
    try:
        _add(kept, read_head(beginning), str(path))
    except Malformed as error:
        for number, line in enumerate(_lines(path), 1):
            try:
                head = read_head(line)
            except Malformed:
                kept.broken_lines += 1
                continue
            _add(kept, head, f"line {number} of {path}")
        if not kept.by_size:
            raise Problem(f"{path}: {error.message}") from None
    return kept


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(MAX_HEAD_BYTES):
            if not line.isspace():
                yield line


def _add(kept: KeptHeads, head: TreeHead, where: str) -> None:
    if not head.signed_by(head.public_key):
        raise Problem(
            f"The signature of {where} is not good: it is not a head of any issuance log, or was changed."
        )
    known = kept.by_size.get(head.size)
    if known is not None and known.root != head.root:
        raise Problem(
            f"Two heads over {head.size} leaves do not agree, the second in {where}: "
            "the log was replaced by another one, or by an older copy of itself, and grew again."
        )
    kept.by_size[head.size] = head
    kept.keys.add(head.public_key)
