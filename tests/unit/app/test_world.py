"""The real clock and the real randomness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.app.world import SystemClock, SystemEntropy


@given(st.lists(st.integers(min_value=0, max_value=64), max_size=400))
def test_tokens_have_their_size(sizes):
    entropy = SystemEntropy()
    assert [len(entropy.token(size)) for size in sizes] == sizes


@pytest.mark.parametrize("size", [8, 16, 24, 32])
def test_no_token_comes_twice(size):
    """Short ones are cut from blocks: none may be cut twice, nor overlap another."""
    entropy = SystemEntropy()
    assert len({entropy.token(size) for _ in range(5_000)}) == 5_000


def test_tokens_of_mixed_sizes_share_no_bytes():
    entropy = SystemEntropy()
    tokens = [entropy.token(8 if number % 3 else 24) for number in range(3_000)]
    pieces = [token[at : at + 8] for token in tokens for at in range(0, len(token), 8)]
    assert len(set(pieces)) == len(pieces)


def test_time_goes_on():
    clock = SystemClock()
    assert clock.now() > 1_700_000_000
    assert clock.monotonic() <= clock.monotonic()
