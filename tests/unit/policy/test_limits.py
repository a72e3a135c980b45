"""The rate is never exceeded in any window, and the instant to come back at is exact."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.policy.limits import SECOND, Ledger, Rate, source_of, taken, wait, whole_seconds

rates = st.builds(Rate, st.integers(1, 5_000), st.integers(1, 120), st.integers(1, 500))
gaps = st.lists(st.integers(0, 5 * SECOND), min_size=1, max_size=200)
costs = st.integers(1, 600)


def _admitted(rate: Rate, gaps: Sequence[int]) -> list[int]:
    """The instants of those that were let through, each asking after a gap."""
    now = owed = 0
    instants = []
    for gap in gaps:
        now += gap
        if not wait(rate, owed, now):
            owed = taken(rate, owed, now)
            instants.append(now)
    return instants


@given(rates, gaps)
def test_no_window_has_more_than_the_burst_and_the_rate(rate, gaps):
    instants = _admitted(rate, gaps)
    for start in range(len(instants)):
        for end in range(start, len(instants)):
            window = instants[end] - instants[start]
            assert end - start + 1 <= rate.burst + window // rate.interval


@given(rates, gaps)
def test_the_burst_comes_through_at_once(rate, gaps):
    assert len(_admitted(rate, [0] * (rate.burst + len(gaps)))) == rate.burst


@given(rates, gaps, costs)
def test_the_instant_to_come_back_at_is_exact(rate, gaps, cost):
    ledger = Ledger(rate, 10)
    now = SECOND
    for gap in gaps:
        now += gap
        ledger.charge("key", now)
    delay = ledger.wait("key", now, cost)
    if delay:
        assert ledger.take("key", now + delay - 1, cost) == 1
    assert ledger.take("key", now + delay, cost) == 0


@given(rates, gaps, costs)
def test_whole_seconds_are_the_first_by_which_it_passes(rate, gaps, cost):
    ledger = Ledger(rate, 10)
    now = SECOND
    for gap in gaps:
        now += gap
        ledger.charge("key", now)
    delay = ledger.wait("key", now, cost)
    seconds = whole_seconds(delay)
    assert ledger.wait("key", now + seconds * SECOND, cost) == 0
    if seconds > 1:
        assert ledger.wait("key", now + (seconds - 1) * SECOND, cost) > 0


@given(rates, st.lists(costs, min_size=1, max_size=50))
def test_nobody_owes_for_ever(rate, costs):
    ledger = Ledger(rate, 10)
    for cost in costs:
        ledger.charge("key", SECOND, cost)
    assert ledger.wait("key", SECOND + 2 * rate.burst * rate.interval, rate.burst) == 0


def test_a_refused_one_costs_nothing():
    ledger = Ledger(Rate(1, 10, 1), 10)
    assert ledger.take("key", 0) == 0
    assert ledger.take("key", 1) == 10 * SECOND - 1
    assert ledger.take("key", 4 * SECOND) == 6 * SECOND
    assert ledger.take("key", 10 * SECOND) == 0


def test_keys_do_not_share():
    ledger = Ledger(Rate(1, 10, 1), 10)
    assert ledger.take("one", 0) == 0
    assert ledger.take("other", 0) == 0
    assert ledger.take("one", 0) > 0


def test_who_owes_nothing_is_forgotten():
    ledger = Ledger(Rate(10, 1, 10), 1_000)
    for number in range(500):
        ledger.charge(number, 0)
    assert len(ledger) == 500
    for number in range(200):
        ledger.charge(f"later {number}", 5 * SECOND)
    assert len(ledger) == 200
    assert not ledger.owes(3, 5 * SECOND)
    assert ledger.owes("later 3", 5 * SECOND)


def test_a_hundred_thousand_sources_are_held_in_bounds():
    ledger = Ledger(Rate(10, 60, 10), 4_096)
    for number in range(100_000):
        ledger.charge(f"198.51.{number >> 8}.{number & 255}", number)
        assert len(ledger) <= 4_096
    # Who was heard of last is remembered, who was heard of first is not.
    assert ledger.owes("198.51.390.159", 100_000)
    assert not ledger.owes("198.51.0.0", 100_000)


def test_who_goes_on_is_not_pushed_out_by_others():
    ledger = Ledger(Rate(1, 60, 10), 100)
    for number in range(1_000):
        ledger.charge("culprit", number)
        ledger.charge(f"other {number}", number)
    assert ledger.wait("culprit", 1_000) > 0


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_whom_an_address_stands_for(address, source):
    assert source_of(address) == source
