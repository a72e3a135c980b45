"""Each parser over its seeds, over mutations of them, and over noise: it parses or refuses, and nothing else."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fuzz_targets import TARGETS, Target

Edit = tuple[int, int, bytes]


def _edited(seed: bytes, edits: list[Edit]) -> bytes:
    """Cut and insert: each edit takes `gone` bytes out at a place and puts others in."""
    for place, gone, put in edits:
        at = place % (len(seed) + 1)
        seed = seed[:at] + put + seed[at + gone :]
    return seed


_EDITS = st.lists(
    st.tuples(st.integers(0, 4096), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=6
)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_the_seeds_are_accepted(target: Target) -> None:
    """A seed that is refused would leave the mutations at the door."""
    for seed in target.seeds():
        target.run(seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_what_is_mutated_is_parsed_or_refused(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    noise = data.draw(st.booleans())
    edited = (
        data.draw(st.binary(max_size=200))
        if noise
        else _edited(data.draw(st.sampled_from(target.seeds())), data.draw(_EDITS))
    )
    with warnings.catch_warnings():
        # `cryptography` warns of odd certificates and goes on.
        warnings.simplefilter("ignore")
        target(edited)
