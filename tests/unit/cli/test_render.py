"""Tables for people, lines for programs."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from accredit.cli import render

COLUMNS = (("id", "id"), ("type", "attestation.type"), ("more", "more"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=6,
)


def printed(rows: list[dict[str, Any]], *, as_json: bool = False) -> str:
    out = StringIO()
    with redirect_stdout(out):
        render.listing(rows, COLUMNS, as_json=as_json)
    return out.getvalue()


@given(st.lists(st.dictionaries(st.text(st.characters(codec="utf-8")), values, max_size=4), max_size=4))
def test_json_is_one_object_a_line_whatever_is_in_it(rows: list[dict[str, Any]]) -> None:
    assert [json.loads(line) for line in printed(rows, as_json=True).splitlines()] == rows


def test_json_of_nothing_is_nothing() -> None:
    assert printed([], as_json=True) == ""


def test_a_table_has_the_columns_and_no_more() -> None:
    row = {"id": "a", "attestation": {"type": "x509"}, "more": {"b": 1}, "hidden": "z"}
    heading, line = printed([row]).splitlines()
    assert heading.split() == ["id", "type", "more"]
    assert line.split() == ["a", "x509", '{"b":', "1}"]


def test_a_table_of_nothing_says_so() -> None:
    assert printed([]) == "none\n"


def test_what_is_missing_is_empty() -> None:
    _, line = printed([{"id": "a", "attestation": "odd"}]).splitlines()
    assert line.split() == ["a"]


def test_markup_in_a_value_is_only_text() -> None:
    assert "[bold]x[/]" in printed([{"id": "[bold]x[/]"}])


def test_a_resource_is_indented() -> None:
    out = StringIO()
    with redirect_stdout(out):
        render.document({"name": "ä"})
    assert out.getvalue() == '{\n  "name": "ä"\n}\n'


def test_what_a_device_sent_does_not_speak_to_the_terminal() -> None:
    shown = printed([{"id": "\x1b]0;title\x07\x9b31m", "more": {"body": "\x1b[2J\x9b2J"}}])
    assert "\\u001b]0;title\\u0007\\u009b31m" in shown
    assert not any(char in shown for char in "\x1b\x07\x9b")


@given(values)
def test_a_resource_is_json_without_control_characters(value: Any) -> None:
    out = StringIO()
    with redirect_stdout(out):
        render.document(value)
    assert json.loads(out.getvalue()) == value
    assert all(char.isprintable() or char == "\n" for char in out.getvalue())


class TestBars:
    def test_nothing_is_drawn_for_nothing(self) -> None:
        assert render.bars(0, 0, 0) == ""
        assert render.bars(0, 0, 9) == ""

    def test_the_longest_is_as_long_as_may_be_and_the_shortest_is_seen(self) -> None:
        assert render.bars(1_000_000, 1, 1_000_000) == "▒" * render.CHART_CHARS + " █"
