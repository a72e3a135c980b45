"""Templates for names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.name_template import PLACES, filled, parts


def test_places_are_filled_as_they_are_spelled() -> None:
    names = {"registrationId": "a", "deviceId": "B"}
    assert filled("x{registrationId}-{deviceId}{deviceId}", names) == "xa-BB"
    assert filled("{deviceId}b", names, str.lower) == "bb"
    assert filled("plain", {}) == "plain"


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{registrationid}", "a{deviceId", "{{deviceId}}", "{device Id}"]
)
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(ValueError, match="brace|is not one of"):
        parts(text)


def test_a_place_without_a_name() -> None:
    with pytest.raises(KeyError):
        filled("{enrollmentGroupId}", {"deviceId": "d"})


@given(st.text())
def test_whatever_is_read_is_put_together_again(text: str) -> None:
    try:
        found = parts(text)
    except ValueError:
        return
    assert "".join("{" + each + "}" if number % 2 else each for number, each in enumerate(found)) == text
    assert set(found[1::2]) <= set(PLACES)
