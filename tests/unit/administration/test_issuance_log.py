"""Heads and proofs over the API: what they prove, and what is said where something is not there."""

from __future__ import annotations

import pytest

from accredit.domain import merkle
from accredit.domain.changes import AppendLeaf
from accredit.domain.ids import AuthorityName
from accredit.domain.issuance_log import certificate_leaf, revocation_leaf, unknown_leaf
from accredit.domain.secret import Secret
from accredit.provisioning.sequencer import Sequencer
from accredit.wire.service_api.tree import read_head
from support.service_side import ServiceSide

CA = AuthorityName.parse("myca")
ROUNDS = (3, 4, 6)


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
async def grown(side: ServiceSide) -> ServiceSide:
    """A log of 13 leaves, with heads of 3, 7 and 13."""
    sequencer = Sequencer(side.store, side.clock, Secret(bytes(range(32))))
    number = 0
    for count in ROUNDS:
        for _ in range(count):
            await side.store.commit([AppendLeaf(unknown_leaf(CA, digest(number), number))])
            number += 1
        await sequencer.sequence()
        side.clock.advance(1)
    return side


async def got(side: ServiceSide, path: str, **query: object) -> dict:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await side.call("GET", f"/issuanceLog/{path}?{text}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_log_without_a_witness(grown: ServiceSide) -> None:
    answer = await grown.call("GET", "/issuanceLog/witness")
    assert answer.status_code == 404
    assert "log_witness" in answer.text


async def test_a_revocation_is_a_leaf_of_its_own(grown: ServiceSide) -> None:
    """About the same certificate: it is told apart by its kind."""
    about = digest(99)
    sequencer = Sequencer(grown.store, grown.clock, Secret(bytes(range(32))))
    for leaf in (certificate_leaf(CA, b"der", about, 1), revocation_leaf(CA, about, 2)):
        await grown.store.commit([AppendLeaf(leaf)])
        await sequencer.sequence()
    places = {
        kind: (await got(grown, "inclusion", sha256=about.hex(), **({"kind": kind} if kind else {})))[
            "sequence"
        ]
        for kind in ("", "certificate", "revocation")
    }
    assert places == {"": 13, "certificate": 13, "revocation": 14}
    assert (await got(grown, "inclusion", sha256=about.hex(), size=14))["sequence"] == 13
    unknown = await grown.call("GET", f"/issuanceLog/inclusion?sha256={about.hex()}&kind=unknown")
    assert unknown.status_code == 404
    assert (await grown.call("GET", f"/issuanceLog/inclusion?sha256={about.hex()}&kind=x")).status_code == 400


async def test_the_newest_head_and_earlier_ones(grown: ServiceSide) -> None:
    newest = read_head((await grown.call("GET", "/issuanceLog/head")).content)
    assert newest.size == 13
    assert newest.signed_by(newest.public_key)
    assert (await got(grown, "head", size=7))["treeSize"] == 7
    assert (await grown.call("GET", "/issuanceLog/head?size=8")).status_code == 404


@pytest.mark.parametrize("size", [7, 13])
async def test_a_certificate_is_proven_to_be_in_the_tree(grown: ServiceSide, size: int) -> None:
    for number in range(7):
        shown = await got(grown, "inclusion", sha256=digest(number).hex(), size=size)
        proof = [bytes.fromhex(text) for text in shown["proof"]]
        root = bytes.fromhex(shown["head"]["rootHash"])
        leaf = unknown_leaf(CA, digest(number), number).leaf_hash
        assert shown["leafHash"] == leaf.hex()
        assert merkle.included(leaf, shown["sequence"], size, proof, root)


async def test_what_a_head_does_not_cover(grown: ServiceSide) -> None:
    for query in (f"sha256={digest(9).hex()}&size=7", f"sha256={digest(99).hex()}"):
        assert (await grown.call("GET", f"/issuanceLog/inclusion?{query}")).status_code == 404


@pytest.mark.parametrize(("first", "second"), [(3, 7), (3, 13), (7, 13), (5, 13), (13, 13)])
async def test_a_later_tree_begins_with_the_earlier_one(grown: ServiceSide, first: int, second: int) -> None:
    shown = await got(grown, "consistency", first=first, second=second)
    hashes = [unknown_leaf(CA, digest(number), number).leaf_hash for number in range(first)]
    old = merkle.root(first, merkle.grown(0, {}, hashes))
    proof = [bytes.fromhex(text) for text in shown["proof"]]
    assert merkle.consistent(first, second, proof, old, bytes.fromhex(shown["head"]["rootHash"]))


async def test_the_leaves_in_their_order(grown: ServiceSide) -> None:
    rows = await got(grown, "entries", start=4, limit=3)
    assert [row["sequence"] for row in rows] == [4, 5, 6]
    assert rows[0]["sha256"] == digest(4).hex()
    assert await got(grown, "entries", start=13) == []


@pytest.mark.parametrize(
    "query",
    ["consistency", "consistency?first=0", "consistency?first=14", "consistency?first=x", "inclusion?sha256=00",
     f"inclusion?sha256={'zz' * 32}", "inclusion", "head?size=-1", "entries?start=1e3"],
)  # fmt: skip
async def test_what_is_not_a_question(grown: ServiceSide, query: str) -> None:
    assert (await grown.call("GET", f"/issuanceLog/{query}")).status_code == 400


async def test_a_log_that_is_empty(side: ServiceSide) -> None:
    assert (await side.call("GET", "/issuanceLog/head")).status_code == 404
    assert await got(side, "entries") == []
