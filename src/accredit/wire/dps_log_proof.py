"""That the issuance log covers a certificate, as a device is told it: an extension, `issuanceLogProof`.

It has all that a check needs beside the certificate itself: the leaf's hash is made anew from `authority`, `loggedAt`
and the certificate, and folded with `proof` to the root that `head` signs.
"""

from __future__ import annotations

import msgspec

from accredit.domain.inclusion import Inclusion
from accredit.wire.service_api.tree import HeadDocument, head_document


class LogProofShown(msgspec.Struct, rename="camel"):
    sequence: int
    authority: str
    logged_at: int
    leaf_hash: str
    proof: list[str]
    head: HeadDocument


def log_proof_shown(found: Inclusion) -> LogProofShown:
    """`authority` is in lower case, as the leaf's hash has it."""
    leaf = found.placed.leaf
    assert found.placed.sequence is not None
    return LogProofShown(
        found.placed.sequence,
        leaf.authority.key,
        leaf.logged_at,
        leaf.leaf_hash.hex(),
        [each.hex() for each in found.proof],
        head_document(found.head),
    )


def log_proof_body(found: Inclusion) -> bytes:
    return msgspec.json.encode(log_proof_shown(found))
