"""That a tree head covers a leaf: the hashes from the leaf up to the head's root (RFC 6962, section 2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.issuance_log import PlacedLeaf
from accredit.domain.tree_head import TreeHead
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Inclusion:
    """`proof` are the hashes of the subtrees beside the path, from the leaf upwards."""

    placed: PlacedLeaf
    head: TreeHead
    proof: Sequence[bytes]
