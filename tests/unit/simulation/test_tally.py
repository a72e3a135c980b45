"""The account of a simulated fleet."""

from __future__ import annotations

from accredit.simulation.tally import MAX_COMPLAINTS, Tally


def test_what_was_waited_for_has_percentiles_and_the_rest_a_count():
    tally = Tally()
    for milliseconds in range(1, 101):
        tally.took("renewed", milliseconds / 1000)
    tally.happened["storms"] += 2
    assert tally.rows() == [
        {"what": "renewed", "count": 100, "p50Ms": 51.0, "p99Ms": 100.0, "maxMs": 100.0},
        {"what": "storms", "count": 2, "p50Ms": None, "p99Ms": None, "maxMs": None},
    ]


def test_rows_come_in_the_order_in_which_a_device_meets_them():
    tally = Tally()
    for what in ("storms", "did wrong: half-open", "provisioned", "something new"):
        tally.happened[what] += 1
    assert [row["what"] for row in tally.rows()] == [
        "provisioned",
        "storms",
        "did wrong: half-open",
        "something new",
    ]


def test_every_complaint_is_counted_and_the_first_are_kept():
    tally = Tally()
    for number in range(MAX_COMPLAINTS + 5):
        tally.complain(f"device {number}")
    assert tally.complained == MAX_COMPLAINTS + 5
    assert tally.complaints == [f"device {number}" for number in range(MAX_COMPLAINTS)]
