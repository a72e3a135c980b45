"""Each line of the checklist of what SDKs insist on is held by a test that names the file it is taken from."""

from __future__ import annotations

import pytest

from support.sdk_checklist import LINES, holding

HOLDING = holding()


@pytest.mark.parametrize("number", LINES)
def test_a_test_holds_the_line(number: int) -> None:
    line = LINES[number]
    tests = HOLDING.get(number, [])
    assert tests or line.awaits, line.claim
    assert not (tests and line.awaits), f"nothing is awaited any more: {[each.name for each in tests]}"
    if tests:
        assert any(file in each.text for each in tests for file in line.files), (line, tests)


def test_the_lines_are_numbered_through() -> None:
    assert list(LINES) == list(range(1, 26))
    assert HOLDING.keys() <= LINES.keys()
