"""The issuance log's leaves (RFC 6962, section 2.1: a leaf hash is SHA-256 over 0x00 and the leaf's bytes).

Leaves are made without a place: the tree over them (`merkle.py`) grows afterwards, from the same hashes.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum

from accredit.domain.ids import AuthorityName
from accredit.values import dataclass


class LeafKind(IntEnum):
    """What `body`, the hashed part of a leaf, is.

    CERTIFICATE: the certificate's DER. UNKNOWN: an outside CA's answer was lost; SHA-256 of the CSR. REVOCATION: SHA-256 of
    the certificate. RESTORATION: the service went back to a backup; SHA-256 of the backup's manifest, and of no authority.
    """

    CERTIFICATE = 1
    UNKNOWN = 2
    REVOCATION = 3
    RESTORATION = 4


NO_AUTHORITY = AuthorityName("", "")
"""Stands in the leaves that are of no certificate authority; none can have this name."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry; `sha256` is of the certificate (or of the CSR), `leaf_hash` is what the tree is built over."""

    kind: LeafKind
    authority: AuthorityName
    sha256: bytes
    logged_at: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class PlacedLeaf:
    """A leaf as the store has it; `sequence` is its place in the tree, None while it has none."""

    leaf: Leaf
    id: int
    sequence: int | None


def leaf_hash(kind: LeafKind, authority: str, logged_at: int, body: bytes) -> bytes:
    """The hash of one leaf: version 1, kind, instant, length-prefixed authority name, body."""
    name = authority.encode()
    head = struct.pack(">BBqH", 1, kind, logged_at, len(name))
    return hashlib.sha256(b"\x00" + head + name + body).digest()


def certificate_leaf(authority: AuthorityName, der: bytes, sha256: bytes, logged_at: int) -> Leaf:
    digest = leaf_hash(LeafKind.CERTIFICATE, authority.key, logged_at, der)
    return Leaf(LeafKind.CERTIFICATE, authority, sha256, logged_at, digest)


def unknown_leaf(authority: AuthorityName, csr_sha256: bytes, logged_at: int) -> Leaf:
    digest = leaf_hash(LeafKind.UNKNOWN, authority.key, logged_at, csr_sha256)
    return Leaf(LeafKind.UNKNOWN, authority, csr_sha256, logged_at, digest)


def revocation_leaf(authority: AuthorityName, sha256: bytes, logged_at: int) -> Leaf:
    """`sha256` is of the certificate that was revoked."""
    digest = leaf_hash(LeafKind.REVOCATION, authority.key, logged_at, sha256)
    return Leaf(LeafKind.REVOCATION, authority, sha256, logged_at, digest)


def restoration_leaf(manifest_sha256: bytes, logged_at: int) -> Leaf:
    """`manifest_sha256` is of the manifest of the backup that was put back."""
    digest = leaf_hash(LeafKind.RESTORATION, NO_AUTHORITY.key, logged_at, manifest_sha256)
    return Leaf(LeafKind.RESTORATION, NO_AUTHORITY, manifest_sha256, logged_at, digest)
