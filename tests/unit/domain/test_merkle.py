"""The Merkle tree against its definition in RFC 6962, section 2.1, written down as it stands there."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain import merkle


def leaves(count: int) -> list[bytes]:
    return [hashlib.sha256(b"\x00" + bytes([number])).digest() for number in range(count)]


def mth(hashes: list[bytes]) -> bytes:
    """MTH of the RFC, over leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def kept(count: int) -> dict[merkle.Node, bytes]:
    return merkle.grown(0, {}, leaves(count))


def shown(ranges: list[merkle.Range], count: int) -> list[bytes]:
    return [part.hash(kept(count)) for part in ranges]


def test_the_roots_of_the_certificate_transparency_project() -> None:
    """Its reference inputs and roots (certificate-transparency, `merkle_tree_test.cc`)."""
    inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    hashed = [hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest() for text in inputs]
    hashes = merkle.grown(0, {}, hashed)
    assert {size: merkle.root(size, hashes).hex() for size in roots} == roots


@pytest.mark.parametrize("size", range(34))
def test_the_root_is_the_rfcs(size: int) -> None:
    assert merkle.root(size, kept(33)) == mth(leaves(size))


@given(st.lists(st.integers(0, 9), max_size=6))
def test_it_grows_by_parts_as_at_once(parts: list[int]) -> None:
    total = leaves(sum(parts))
    hashes: dict[merkle.Node, bytes] = {}
    size = 0
    for part in parts:
        hashes |= merkle.grown(size, hashes, total[size : size + part])
        size += part
    assert hashes == merkle.grown(0, {}, total)


@pytest.mark.parametrize("size", range(1, 20))
def test_every_leaf_is_proven_and_nothing_else(size: int) -> None:
    root = mth(leaves(size))
    for index, leaf in enumerate(leaves(size)):
        proof = shown(merkle.inclusion(index, size), size)
        assert merkle.included(leaf, index, size, proof, root)
        assert not merkle.included(hashlib.sha256(b"other").digest(), index, size, proof, root)
        assert not merkle.included(leaf, index + 1, size, proof, root)
        assert not merkle.included(leaf, index, size, [*proof, root], root)
        assert not merkle.included(leaf, index, size, proof, mth([*leaves(size), leaf]))
        if proof:
            assert not merkle.included(leaf, index, size, proof[:-1], root)


@pytest.mark.parametrize("second", range(1, 20))
def test_every_earlier_tree_is_proven_and_no_other(second: int) -> None:
    new = mth(leaves(second))
    for first in range(1, second + 1):
        old, proof = mth(leaves(first)), shown(merkle.consistency(first, second), second)
        assert merkle.consistent(first, second, proof, old, new)
        assert not merkle.consistent(first, second, proof, hashlib.sha256(b"other").digest(), new)
        assert not merkle.consistent(first, second, proof, old, hashlib.sha256(b"other").digest())
        assert not merkle.consistent(first, second, [*proof, old], old, new)
        if first < second:
            assert not merkle.consistent(first, second, proof[:-1], old, new)
            assert not merkle.consistent(second, first, proof, new, old)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.inclusion(index, size)
    assert not merkle.included(leaves(1)[0], index, size, [], leaves(1)[0])


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3)])
def test_consistency_of_what_is_not_before(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="not smaller"):
        merkle.consistency(first, second)


@given(st.integers(1, 10**7), st.data())
def test_a_proof_stays_short(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion(index, size)
    assert len(path) <= size.bit_length()
    assert sum(len(list(part.nodes())) for part in path) <= 2 * size.bit_length()
