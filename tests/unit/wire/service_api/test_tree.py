"""Heads, proofs and exported leaves, as they are shown and as they are read back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.ids import AuthorityName
from accredit.domain.issuance_log import (
    Leaf,
    PlacedLeaf,
    certificate_leaf,
    leaf_hash,
    revocation_leaf,
    unknown_leaf,
)
from accredit.domain.tree_head import TreeHead
from accredit.domain.witness import Witnessed, WitnessStanding
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.tree import (
    ExportedShown,
    consistency_document,
    exported_body,
    exported_document,
    head_document,
    head_line,
    inclusion_document,
    last_head,
    read_head,
    witness_document,
)

CA = AuthorityName.parse("MyCA")
HEAD = TreeHead.sign(7, b"r" * 32, 1_800_000_000, Ed25519PrivateKey.from_private_bytes(bytes(32)))
SHOWN = {
    "treeSize": 7,
    "rootHash": "72" * 32,
    "timestamp": 1_800_000_000,
    "publicKey": "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=",
    "signature": msgspec.to_builtins(head_document(HEAD))["signature"],
}
CERTIFICATE = certificate_leaf(CA, b"der", b"s" * 32, 7)
LEAVES = [CERTIFICATE, unknown_leaf(CA, b"c" * 32, 8), revocation_leaf(CA, b"s" * 32, 9)]


def placed(leaf: Leaf, sequence: int = 3) -> PlacedLeaf:
    return PlacedLeaf(leaf, 41, sequence)


class TestHead:
    def test_shown(self) -> None:
        """The public key of 32 zero bytes is in everybody's test vectors."""
        assert msgspec.to_builtins(head_document(HEAD)) == SHOWN

    def test_a_line_of_a_witness(self) -> None:
        line = head_line(HEAD)
        assert line.count(b"\n") == 1
        assert read_head(line) == HEAD
        torn = b'{"treeSize": 8, "root'
        assert last_head(b"HEAD\n" + line + b"\n" + torn) == HEAD
        assert last_head(torn) is None

    def test_read_as_it_was_shown(self) -> None:
        assert read_head(write(head_document(HEAD))) == HEAD

    @pytest.mark.parametrize(
        "change",
        [
            {"treeSize": -1},
            {"treeSize": 1 << 63},
            {"timestamp": -1},
            {"rootHash": "72" * 31},
            {"rootHash": "zz" * 32},
            {"publicKey": "AAAA"},
            {"publicKey": "?"},
            {"signature": "AAAA"},
            {"signature": "="},
        ],
        ids=str,
    )
    def test_what_is_none(self, change: dict[str, Any]) -> None:
        with pytest.raises(Malformed) as refused:
            read_head(write(SHOWN | change))
        assert refused.value.rule == "log-head"

    @given(
        st.binary(max_size=80)
        | st.fixed_dictionaries({name: st.text(max_size=9) | st.integers() for name in SHOWN}).map(write)
    )
    def test_only_malformed_leaves(self, body: bytes) -> None:
        with suppress(Malformed):
            read_head(body)


class TestProofs:
    def test_of_inclusion(self) -> None:
        assert inclusion_document(placed(CERTIFICATE), HEAD, [b"\x01", b"\x02"]) == {
            "sequence": 3,
            "leafHash": CERTIFICATE.leaf_hash.hex(),
            "proof": ["01", "02"],
            "head": SHOWN,
        }

    def test_of_consistency(self) -> None:
        assert consistency_document(5, HEAD, [b"\x01"]) == {"first": 5, "proof": ["01"], "head": SHOWN}


class TestExport:
    @pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.kind.name)
    def test_a_row_holds_what_its_leaf_s_hash_is_over(self, leaf: Leaf) -> None:
        certificate = b"der" if leaf is CERTIFICATE else None
        row = msgspec.convert(exported_document(placed(leaf), certificate), ExportedShown)
        body = exported_body(row)
        assert body is not None
        assert leaf_hash(leaf.kind, leaf.authority.key, row.logged_at, body).hex() == row.leaf_hash

    def test_a_certificate_that_was_lost(self) -> None:
        shown = exported_document(placed(CERTIFICATE), None)
        assert "certificate" not in shown
        assert exported_body(msgspec.convert(shown, ExportedShown)) is None

    @pytest.mark.parametrize(
        "change", [{"kind": "rumour"}, {"kind": "unknown", "sha256": "zz"}, {"certificate": "?"}], ids=str
    )
    def test_a_line_that_is_no_leaf(self, change: dict[str, Any]) -> None:
        row = msgspec.convert(exported_document(placed(CERTIFICATE), b"der") | change, ExportedShown)
        with pytest.raises(Malformed) as refused:
            exported_body(row)
        assert refused.value.rule == "log-export"


class TestWitness:
    NAME = "https://witness.example/heads"

    def test_one_that_has_all(self) -> None:
        taken = [Witnessed(self.NAME, 7, 1_800_000_000)]
        assert witness_document(WitnessStanding(self.NAME), taken) == {
            "witness": self.NAME,
            "behind": False,
            "taken": [{"treeSize": 7, "at": "2027-01-15T08:00:00.0000000Z"}],
        }

    def test_one_that_lags(self) -> None:
        standing = WitnessStanding(self.NAME, True, 9, 1_800_000_000, "it answered 500", "another log")
        assert witness_document(standing, []) == {
            "witness": self.NAME,
            "behind": True,
            "taken": [],
            "waitingTreeSize": 9,
            "waitingSince": "2027-01-15T08:00:00.0000000Z",
            "failure": "it answered 500",
            "contradiction": "another log",
        }
