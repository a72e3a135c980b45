"""What a trace holds is bounded, and found by the device's id in any case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.trace import MAX_TEXT_CHARS, Asked, DecisionTrace, shown


@pytest.mark.parametrize(("chars", "cut"), [(0, False), (MAX_TEXT_CHARS, False), (MAX_TEXT_CHARS + 1, True)])
def test_only_what_is_too_long_is_cut(chars: int, cut: bool) -> None:
    assert (shown("x" * chars) != "x" * chars) is cut


@given(st.text(max_size=2 * MAX_TEXT_CHARS))
def test_any_text_is_bounded_and_begins_as_it_did(text: str) -> None:
    assert len(shown(text)) <= MAX_TEXT_CHARS
    assert text.startswith(shown(text).removesuffix("..."))


def test_the_key_is_without_regard_to_case() -> None:
    trace = DecisionTrace("t", "Dev-1", 7, Asked.REGISTER, "", None, (), "r", "w", "", "", 401002)
    assert trace.registration_key == "dev-1"
