"""Counts and histograms are right, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accredit.provisioning.tallied import OUTCOMES
from accredit.tallies import MOST_SERIES, STEPS, CommitTallies, Count, Histogram, Tallies, TimedCall


def test_each_set_of_labels_has_its_number():
    count = Count()
    for labels in (("mqtt", "assigned"), ("mqtt", "refused"), ("mqtt", "assigned")):
        count.add(*labels)
    assert count.by == {("mqtt", "assigned"): 2, ("mqtt", "refused"): 1}


def test_names_without_end_do_not_fill_the_memory():
    count = Count()
    for number in range(MOST_SERIES + 10):
        count.add("authority", str(number))
    count.add("authority", "0")
    assert len(count.by) == MOST_SERIES + 1
    assert count.by["other", "other"] == 10
    assert count.by["authority", "0"] == 2


@given(st.lists(st.floats(0, 10)))
def test_every_value_is_in_one_place_of_a_histogram(values):
    histogram = Histogram((1, 2, 5))
    for value in values:
        histogram.observe(value)
    places = [(0, 1), (1, 2), (2, 5), (5, 10)]
    wanted = [sum(low < value <= high for value in values) for low, high in places]
    wanted[0] += sum(value == 0 for value in values)
    assert histogram.counts == wanted
    assert histogram.total == sum(values)


def test_a_call_is_timed_as_a_whole_and_by_steps():
    tallies = Tallies()
    marks = [("attest", 10.002), ("complete", 10.006)]
    tallies.timed(TimedCall("mqtt", "assigned", "", "t", "lamp", "", marks, 10.0, 10.007))
    assert set(tallies.steps) == set(STEPS)
    assert round(tallies.steps["attest"].total, 6) == 0.002
    assert round(tallies.steps["complete"].total, 6) == 0.004
    assert sum(tallies.steps["bind"].counts) == 0
    assert round(tallies.whole["mqtt"].total, 6) == 0.007


def test_commits_are_counted_by_their_units():
    commits = CommitTallies()
    commits.committed(3, 0.002)
    assert (commits.units.total, sum(commits.seconds.counts)) == (3, 1)


def test_no_outcome_is_named_twice():
    assert len(OUTCOMES) == len(set(OUTCOMES))
