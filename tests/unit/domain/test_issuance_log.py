"""Leaf hashes, held against their definition in RFC 6962, section 2.1, computed here by hand."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.ids import AuthorityName
from accredit.domain.issuance_log import (
    LeafKind,
    certificate_leaf,
    leaf_hash,
    restoration_leaf,
    revocation_leaf,
    unknown_leaf,
)

instants = st.integers(min_value=0, max_value=1 << 40)


@given(st.binary(max_size=600), instants)
def test_a_leaf_hash_is_of_a_zero_byte_and_the_leaf(der: bytes, at: int) -> None:
    leaf = b"\x01" + b"\x01" + at.to_bytes(8, "big") + b"\x00\x05" + b"myca1" + der
    assert leaf_hash(LeafKind.CERTIFICATE, "myca1", at, der) == hashlib.sha256(b"\x00" + leaf).digest()


def test_the_hash_does_not_depend_on_how_the_authority_is_spelled() -> None:
    first = certificate_leaf(AuthorityName.parse("MyCA1"), b"der", b"sha", 7)
    second = certificate_leaf(AuthorityName.parse("myca1"), b"der", b"sha", 7)
    assert first.leaf_hash == second.leaf_hash


def test_every_part_of_a_leaf_counts() -> None:
    name = AuthorityName.parse("myca1")
    hashes = {
        certificate_leaf(name, b"der", b"sha", 7).leaf_hash,
        certificate_leaf(name, b"der2", b"sha", 7).leaf_hash,
        certificate_leaf(name, b"der", b"sha", 8).leaf_hash,
        certificate_leaf(AuthorityName.parse("myca2"), b"der", b"sha", 7).leaf_hash,
        unknown_leaf(name, b"der", 7).leaf_hash,
    }
    assert len(hashes) == 5


def test_an_unknown_leaf_names_the_request() -> None:
    leaf = unknown_leaf(AuthorityName.parse("myca1"), b"digest", 7)
    assert (leaf.kind, leaf.sha256, leaf.logged_at) == (LeafKind.UNKNOWN, b"digest", 7)


def test_a_revocation_leaf_names_the_certificate_and_is_not_its_leaf() -> None:
    authority = AuthorityName.parse("myca1")
    leaf = revocation_leaf(authority, b"digest", 7)
    assert (leaf.kind, leaf.sha256, leaf.logged_at) == (LeafKind.REVOCATION, b"digest", 7)
    assert leaf.leaf_hash == leaf_hash(LeafKind.REVOCATION, "myca1", 7, b"digest")
    assert leaf.leaf_hash != unknown_leaf(authority, b"digest", 7).leaf_hash


def test_a_restoration_leaf_names_the_manifest_and_no_authority() -> None:
    leaf = restoration_leaf(b"digest", 7)
    assert (leaf.kind, leaf.authority.text, leaf.sha256, leaf.logged_at) == (
        LeafKind.RESTORATION,
        "",
        b"digest",
        7,
    )
    assert leaf.leaf_hash == leaf_hash(LeafKind.RESTORATION, "", 7, b"digest")
