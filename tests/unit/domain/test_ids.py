"""Identifiers are parsed once, and compared by their own rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId

NAMES = (RegistrationId, GroupId, AuthorityName)

good = st.from_regex(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]", fullmatch=True)


@pytest.mark.parametrize("kind", [*NAMES, DeviceId])
@pytest.mark.parametrize("text", ["a", "-", "A.b_c:d-9", "x" * 128, "7-"])
def test_what_dps_allows_is_taken_and_kept_as_spelled(kind: type, text: str) -> None:
    assert str(kind.parse(text)) == text


@pytest.mark.parametrize("kind", [*NAMES, DeviceId])
@pytest.mark.parametrize(
    "text", ["", "a.", "a_", "a:", "a b", "a/b", "ä", "a\n", "x" * 129, "a#", "$a", "a+b"]
)
def test_everything_else_is_refused(kind: type, text: str) -> None:
    with pytest.raises(Malformed) as refusal:
        kind.parse(text)
    assert refusal.value.rule == "id-grammar"


@given(good)
def test_names_compare_without_regard_to_case(text: str) -> None:
    for kind in NAMES:
        assert kind.parse(text.upper()) == kind.parse(text.lower())
        assert hash(kind.parse(text.upper())) == hash(kind.parse(text.lower()))


@given(good)
def test_device_ids_compare_with_regard_to_case(text: str) -> None:
    assert (DeviceId.parse(text.upper()) == DeviceId.parse(text.lower())) is (text.upper() == text.lower())


def test_names_of_different_kinds_are_different() -> None:
    assert RegistrationId.parse("line3") != GroupId.parse("line3")


@given(st.text(max_size=300))
def test_parsing_takes_the_grammar_and_nothing_else(text: str) -> None:
    allowed = re.fullmatch(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]", text) is not None
    if allowed:
        assert RegistrationId.parse(text).text == text
        return
    with pytest.raises(Malformed) as refusal:
        RegistrationId.parse(text)
    assert len(refusal.value.message) < 2_000


@pytest.mark.parametrize("text", ["a", "a.", "a+%_#*?!(),=@;$':.", "x" * 128])
def test_a_hub_takes_more_ids_than_dps_assigns(text: str) -> None:
    assert DeviceId.parse_at_hub(text) == DeviceId(text)


@pytest.mark.parametrize("text", ["", "a b", "a/b", "ä", "a\n", "x" * 129, 'a"', "a\\"])
def test_a_hub_does_not_take_any(text: str) -> None:
    with pytest.raises(Malformed) as refusal:
        DeviceId.parse_at_hub(text)
    assert refusal.value.rule == "id-grammar"


@given(good)
def test_every_id_that_dps_assigns_is_a_hubs(text: str) -> None:
    assert DeviceId.parse_at_hub(text) == DeviceId.parse(text)
