"""A head is its signer's, and no part of it can be changed."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accredit.domain.tree_head import TreeHead
from accredit.values import replace

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
HEAD = TreeHead.sign(7, b"r" * 32, 1_800_000_000, KEY)


def test_its_own_key_has_signed_it() -> None:
    assert HEAD.public_key == KEY.public_key().public_bytes_raw()
    assert HEAD.signed_by(HEAD.public_key)


def test_the_signature_is_over_the_text_that_is_documented() -> None:
    text = b"accredit issuance log tree head v1\n" + bytes(7) + b"\x07" + (1_800_000_000).to_bytes(8, "big")
    KEY.public_key().verify(HEAD.signature, text + b"r" * 32)


@pytest.mark.parametrize("key", [OTHER.public_key().public_bytes_raw(), b"", bytes(31), b"\xff" * 32])
def test_another_key_has_not(key: bytes) -> None:
    assert not HEAD.signed_by(key)


@pytest.mark.parametrize(
    "change", [{"size": 8}, {"root": b"s" * 32}, {"signed_at": 1_800_000_001}, {"signature": bytes(64)}]
)
def test_a_changed_head_is_nobodys(change: dict[str, Any]) -> None:
    assert not replace(HEAD, **change).signed_by(HEAD.public_key)
