"""Which challenges stand, and that no two keys are derived from the same bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.ids import RegistrationId
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey
from accredit.policy import tpm_challenge

NOW = 1_800_000_000
EPOCH = tpm_challenge.EPOCH_S
NAMES = st.text("abA-9", min_size=1, max_size=4)
KEYS = st.binary(min_size=256, max_size=260).map(TpmKey)
PARTS = st.tuples(NAMES, NAMES.map(RegistrationId.parse), KEYS, KEYS, st.integers(0, 2**40))


@given(st.integers(0, 2**40))
def test_a_challenge_stands_for_at_least_an_epoch_and_at_most_two(made_at):
    of_epoch = tpm_challenge.epoch(made_at)
    assert of_epoch in tpm_challenge.standing(made_at + EPOCH)
    assert of_epoch not in tpm_challenge.standing(made_at + 2 * EPOCH)


def test_a_challenge_of_the_future_does_not():
    assert tpm_challenge.epoch(NOW + EPOCH) not in tpm_challenge.standing(NOW)
    assert tpm_challenge.polled(NOW, tpm_challenge.epoch(NOW) + 1) == tpm_challenge.standing(NOW)


def test_polls_may_be_signed_with_the_one_that_was_proven():
    proven = tpm_challenge.epoch(NOW)
    day = tpm_challenge.POLLED_S
    assert proven in tpm_challenge.polled(NOW + day, proven)
    assert proven not in tpm_challenge.polled(NOW + day + EPOCH, proven)


@given(PARTS, PARTS)
def test_contexts_differ_where_their_parts_do(one, other):
    same = one[0] == other[0] and one[1] == other[1] and one[2].modulus == other[2].modulus
    contexts_equal = tpm_challenge.challenge_context(*one) == tpm_challenge.challenge_context(*other)
    assert contexts_equal == (same and one[3:] == other[3:])
    assert (tpm_challenge.hub_context(*one[:3]) == tpm_challenge.hub_context(*other[:3])) == same


def test_hub_keys_are_two_and_differ_by_operation():
    one, other = (tpm_challenge.hub_keys(Secret(b"h" * 32), name) for name in ("op-1", "op-2"))
    assert len({one.primary, one.secondary, other.primary, other.secondary}) == 4
    assert one == tpm_challenge.hub_keys(Secret(b"h" * 32), "op-1")
