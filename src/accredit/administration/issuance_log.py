"""The issuance log as anyone may check it: signed heads, proofs against them, and the leaves with what they cover."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accredit.domain import merkle
from accredit.domain.errors import Malformed, NotFound
from accredit.domain.inclusion import Inclusion
from accredit.domain.issuance_log import LeafKind, PlacedLeaf
from accredit.domain.merkle import Range
from accredit.domain.tree_head import TreeHead
from accredit.domain.witness import Witnessed, WitnessStanding
from accredit.interfaces import Store
from accredit.values import dataclass

MAX_EXPORTED = 1_000
MAX_WITNESSED = 100


@dataclass(frozen=True, slots=True)
class Exported:
    """A leaf with what its hash covers; a certificate's DER is absent where the database has lost it."""

    placed: PlacedLeaf
    certificate: bytes | None


@dataclass(frozen=True, slots=True)
class IssuanceLog:
    """`witness` says how far the log's witness is, None where the operator has set none."""

    store: Store
    witness: Callable[[], WitnessStanding | None] = lambda: None

    async def witnessed(self) -> tuple[WitnessStanding, Sequence[Witnessed]]:
        """How far the witness is, and the newest heads that it has taken. Raises NotFound."""
        standing = self.witness()
        if standing is None:
            raise NotFound(
                "The issuance log has no witness.", rule="log-witness-unknown", hint="set log_witness"
            )
        return standing, await self.store.witnessed(standing.witness, MAX_WITNESSED)

    async def head(self, size: int | None = None) -> TreeHead:
        """The newest head, or the one that was signed at this size. Raises NotFound."""
        head = await self.store.tree_head(size)
        if head is None:
            hint = "" if size is not None else "the first certificate makes the first head, within a second"
            raise NotFound("There is no such tree head.", rule="log-head-unknown", hint=hint)
        return head

    async def inclusion(
        self, sha256: bytes, size: int | None = None, kind: LeafKind | None = None
    ) -> Inclusion:
        """That a head covers the leaf, of this kind, about the certificate (or CSR) with this SHA-256. Raises NotFound.

        Of a certificate that was revoked it is the certificate's own leaf, unless its revocation is asked for.
        """
        head = await self.head(size)
        placed = await self.store.placed_leaf(sha256, kind)
        if placed is None or placed.sequence is None or placed.sequence >= head.size:
            raise NotFound(
                "The tree has no leaf about this certificate.",
                rule="log-leaf-unknown",
                hint="a new certificate is in the tree within a second",
            )
        return Inclusion(placed, head, await self._hashes(merkle.inclusion(placed.sequence, head.size)))

    async def consistency(self, first: int, second: int | None) -> tuple[TreeHead, Sequence[bytes]]:
        """That the tree of a later head begins with the one of `first` leaves. Raises NotFound and Malformed."""
        head = await self.head(second)
        if not 0 < first <= head.size:
            raise Malformed(f"first is not from 1 to {head.size}.", rule="log-size")
        return head, await self._hashes(merkle.consistency(first, head.size))

    async def exported(self, start: int, limit: int) -> Sequence[Exported]:
        """The leaves from place `start` on, in their order; an empty answer is the end."""
        placed = await self.store.placed_leaves(start, max(1, min(limit, MAX_EXPORTED)))
        return [Exported(each, await self._certificate(each)) for each in placed]

    async def _certificate(self, placed: PlacedLeaf) -> bytes | None:
        if placed.leaf.kind is not LeafKind.CERTIFICATE:
            return None
        record = await self.store.certificate(placed.leaf.sha256)
        return None if record is None else record.issued.leaf

    async def _hashes(self, ranges: Sequence[Range]) -> Sequence[bytes]:
        wanted = [node for part in ranges for node in part.nodes()]
        hashes = await self.store.log_nodes(wanted)
        try:
            return [part.hash(hashes) for part in ranges]
        except KeyError:
            raise NotFound(
                "The tree is not whole: hashes that it needs are gone from the database.",
                rule="log-damaged",
                hint="compare the database with a backup, and `accredit log verify --against` a head that was kept",
            ) from None
