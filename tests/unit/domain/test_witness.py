"""What anybody may hear of the log's witness: no sizes, no places."""

from __future__ import annotations

from accredit.domain.witness import WitnessStanding


def test_one_that_keeps_up_gives_no_warning() -> None:
    assert WitnessStanding("/heads", waiting_size=3, waiting_since=1).warnings == ()


def test_what_is_amiss_is_said_without_its_details() -> None:
    standing = WitnessStanding("/secret/heads", True, 77, 1, "why", "the 77 leaves")
    behind, other = standing.warnings
    assert "does not take its heads" in behind
    assert "not what its witness saw" in other
    assert "secret" not in behind + other
    assert "77" not in behind + other
