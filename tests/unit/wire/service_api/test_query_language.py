"""The language of queries: what it selects, what it refuses, and that nothing else leaves it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.wire.service_api.query_language import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_QUERY_CHARS,
    MAX_VALUES,
    Field,
    parse,
)

Row = dict[str, Any]


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")  # noqa: TRY004
    return value


FIELDS = {
    "name": Field("name", lambda row: row.get("name"), str),
    "size": Field("size", lambda row: row.get("size"), _number),
    "free": Field("free", lambda row: row.get("free"), lambda value: value),
    "hubs": Field("hubs", lambda row: tuple(row.get("hubs", ())), str),
}


def selects(where: str, row: Row) -> bool:
    condition = parse(f"SELECT * FROM things WHERE {where}", "things", lambda name: FIELDS.get(name.lower()))
    assert condition is not None
    return condition.selects(row)


def refused(query: str) -> Malformed:
    with pytest.raises(Malformed) as refusal:
        parse(query, "things", lambda name: FIELDS.get(name.lower()))
    return refusal.value


ROW: Row = {"name": "lamp-1", "size": 3, "free": True, "hubs": ["a", "b"]}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("name = 'lamp-1'", True),
        ('NAME="lamp-1"', True),
        ("'lamp-1' = name", True),
        ("name = 'lamp-2'", False),
        ("name != 'lamp-2'", True),
        ("name <> 'lamp-1'", False),
        ("name > 'lamp'", True),
        ("name <= 'lamp-1'", True),
        ("3 < size", False),
        ("2 < size", True),
        ("4 >= size", True),
        ("size = 3.0", True),
        ("size > -1", True),
        ("size < 10 and size > 1", True),
        ("size > 10 or name = 'lamp-1'", True),
        ("size > 10 or name = 'lamp-1' and size = 4", False),
        ("(size > 10 or name = 'lamp-1') AND size = 3", True),
        ("not size > 10", True),
        ("NOT NOT size > 10", False),
        ("not (size = 3 or size = 4)", False),
        ("name in ['x', 'lamp-1']", True),
        ("name IN ('x', 'lamp-1')", True),
        ("name not in ['x', 'lamp-1']", False),
        ("startswith(name, 'lamp')", True),
        ("STARTSWITH(name, 'amp')", False),
        ("ENDSWITH(name, '-1')", True),
        ("contains(name, 'mp')", True),
        ("IS_DEFINED(name)", True),
        ("free = true", True),
        ("free = 1", False),
        ("free = 'true'", False),
        ("hubs = 'b'", True),
        ("hubs != 'b'", False),
        ("hubs = 'c'", False),
        ("hubs in ['c', 'a']", True),
        ("name = null", False),
        ("name != null", True),
        ("free > 0", False),
        ("free < 2", False),
    ],
)
def test_what_is_selected(where: str, expected: bool) -> None:
    assert selects(where, ROW) is expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("name = null", True),
        ("name != 'x'", True),
        ("name = 'x'", False),
        ("size < 1", False),
        ("size >= 1", False),
        ("not size < 1", True),
        ("is_defined(name)", False),
        ("startswith(name, '')", False),
        ("hubs = null", True),
        ("hubs != 'a'", True),
        ("name in [null, 'x']", True),
    ],
)
def test_a_member_without_a_value_equals_null_and_nothing_else(where: str, expected: bool) -> None:
    assert selects(where, {}) is expected


def test_quotes_are_doubled_inside_quotes() -> None:
    assert selects("name = 'it''s'", {"name": "it's"})
    assert selects('name = "a ""b"""', {"name": 'a "b"'})
    assert selects("name = 'a\"b'", {"name": 'a"b'})


@pytest.mark.parametrize(
    ("query", "rule", "named"),
    [
        ("SELECT * FROM things ORDER BY name", "query-unsupported", "ORDER"),
        ("SELECT * FROM things WHERE name = 'a' ORDER BY name", "query-unsupported", "ORDER"),
        ("SELECT * FROM things GROUP BY name", "query-unsupported", "GROUP"),
        ("SELECT * FROM things WHERE name LIKE 'a%'", "query-unsupported", "LIKE"),
        ("SELECT * FROM things WHERE name IS NULL", "query-unsupported", "IS"),
        ("SELECT TOP 5 * FROM things", "query-unsupported", "TOP"),
        ("SELECT name FROM things", "query-unsupported", "name"),
        ("SELECT COUNT() AS n FROM things", "query-unsupported", "COUNT"),
        ("SELECT * FROM things WHERE ARRAY_CONTAINS(hubs, 'a')", "query-unsupported", "ARRAY_CONTAINS"),
        ("SELECT * FROM things AS t", "query-unsupported", "AS"),
        ("SELECT * FROM others", "query-source", "things"),
        ("SELECT * FROM things WHERE colour = 'red'", "query-field", "colour"),
        ("SELECT * FROM things WHERE name.first = 'red'", "query-field", "name.first"),
        ("SELECT * FROM things WHERE size = 'red'", "query-value", "size"),
        ("SELECT * FROM things WHERE startswith(name, 3)", "query-value", "quotes"),
        ("SELECT * FROM things WHERE startswith(size, '3')", "query-value", "size"),
        ("SELECT * FROM things WHERE name = red", "query-malformed", "red"),
        ("SELECT * FROM things WHERE name = 'red", "query-malformed", "'red"),
        ("SELECT * FROM things WHERE", "query-malformed", "end"),
        ("SELECT * FROM things WHERE name", "query-malformed", "end"),
        ("SELECT * FROM things WHERE 1=1", "query-malformed", "1"),
        ("SELECT * FROM things WHERE (name = 'a'", "query-malformed", "end"),
        ("SELECT * FROM things WHERE name = 'a')", "query-malformed", ")"),
        ("SELECT * FROM things WHERE name IN []", "query-malformed", "]"),
        ("SELECT * FROM things WHERE name IN ['a')", "query-malformed", ")"),
        ("SELECT * FROM things WHERE name IN 'a'", "query-malformed", "'a'"),
        ("SELECT * FROM things WHERE 'a' = 'b'", "query-malformed", "'b'"),
        ("SELECT * FROM things WHERE name = *", "query-malformed", "*"),
        ("SELECT * FROM things WHERE order = 'a'", "query-unsupported", "ORDER"),
        ("SELECT * FROM things WHERE name NOT 'a'", "query-malformed", "a"),
        ("SELECT * FROM things; DROP TABLE things", "query-malformed", "DROP"),
        ("SELECT * FROM things WHERE size = 1e5", "query-malformed", "1e5"),
        ("DROP TABLE things", "query-malformed", "SELECT"),
        ("SELECT *, * FROM things", "query-malformed", ","),
        ("SELECT * things", "query-malformed", "things"),
        ("SELECT * WHERE colour = 'red'", "query-field", "colour"),
        ("", "query-malformed", "SELECT"),
        ("SELECT * FROM things WHERE name = 'a' § 1", "query-malformed", "§"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(query: str, rule: str, named: str) -> None:
    refusal = refused(query)
    assert refusal.rule == rule
    assert named in refusal.message


def test_it_is_bounded() -> None:
    assert "characters" in refused("SELECT * FROM things" + " " * MAX_QUERY_CHARS).message
    deep = "(" * (MAX_DEPTH + 2) + "size=1" + ")" * (MAX_DEPTH + 2)
    assert "deep" in refused(f"SELECT * FROM things WHERE {deep}").message
    assert "deep" in refused("SELECT * FROM things WHERE " + "NOT " * 500 + "size=1").message
    many = " or ".join(["size=1"] * (MAX_CONDITIONS + 1))
    assert "conditions" in refused(f"SELECT * FROM things WHERE {many}").message
    long = ",".join(["1"] * (MAX_VALUES + 1))
    assert "values" in refused(f"SELECT * FROM things WHERE size IN [{long}]").message


@pytest.mark.parametrize(
    "query",
    ["SELECT * FROM things", "select*from THINGS;", "  SELECT\n*\tFROM things  ", "SELECT *", "select *;"],
)
def test_everything(query: str) -> None:
    assert parse(query, "things", FIELDS.get) is None


WORDS = st.sampled_from(
    [
        "SELECT",
        "*",
        "FROM",
        "things",
        "WHERE",
        "name",
        "size",
        "=",
        "!=",
        "<",
        "'a'",
        "1",
        "-2.5",
        "null",
        "true",
    ]
    + [
        "AND",
        "OR",
        "NOT",
        "IN",
        "(",
        ")",
        "[",
        "]",
        ",",
        "STARTSWITH",
        "IS_DEFINED",
        ";",
        "ORDER",
        "'",
        '"',
        "§",
    ]
)


@given(st.text(max_size=200) | st.lists(WORDS, max_size=40).map(" ".join))
@settings(deadline=None)
def test_only_malformed_leaves(text: str) -> None:
    for query in (text, f"SELECT * FROM things WHERE {text}"):
        with suppress(Malformed):
            parse(query, "things", lambda name: FIELDS.get(name.lower()))


VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab'\" ", max_size=3)
ROWS = st.fixed_dictionaries({"free": VALUES})


def _written(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or isinstance(value, bool)
        else str(value)
    )


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


COMPARISONS = st.tuples(st.sampled_from(["=", "!="]), VALUES).map(
    lambda pair: (
        f"free {pair[0]} {_written(pair[1])}",
        lambda row: _equal(row["free"], pair[1]) is (pair[0] == "="),
    )
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        inner.map(lambda one: (f"NOT ({one[0]})", lambda row: not one[1](row))),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]}) AND ({two[1][0]})", lambda row: two[0][1](row) and two[1][1](row))
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]}) OR ({two[1][0]})", lambda row: two[0][1](row) or two[1][1](row))
        ),
    ),
    max_leaves=8,
)


@given(CONDITIONS, ROWS)
@settings(deadline=None)
def test_what_is_written_is_what_is_selected(condition: Any, row: Row) -> None:
    text, expected = condition
    assert selects(text, row) is expected(row)
