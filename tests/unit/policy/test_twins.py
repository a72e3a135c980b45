"""How twins are merged, and what they may hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.policy.twins import check_desired, check_reported, check_tags, difference, merged

names = st.sampled_from("abcd")
values: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=3)
    | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(names, values, max_size=4)


@pytest.mark.parametrize(
    ("present", "change", "result"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": None, "z": 3}}, {"a": {"y": 2, "z": 3}}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({}, {"a": {"x": None, "y": {"z": None}}}, {"a": {"y": {}}}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": False}, {"a": 0}, {"a": 0}),
    ],
)
def test_a_change_is_laid_over(
    present: dict[str, Any], change: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(present, change) == result


@given(documents, documents)
def test_merging_twice_is_as_once(present: dict[str, Any], change: dict[str, Any]) -> None:
    once = merged(present, change)
    assert merged(once, change) == once


@given(documents)
def test_what_is_merged_into_nothing_has_no_null(change: dict[str, Any]) -> None:
    def nulls(value: Any) -> bool:
        return value is None or (isinstance(value, dict) and any(map(nulls, value.values())))

    assert not nulls(merged({}, change))


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"a": "x" * 4096},
        {"k" * 1024: 1},
        {"n": 4_503_599_627_370_496, "m": -4_503_599_627_370_496, "f": 1e300},
        nested(10),
        {"list": [1, [2, {"a": None}], True]},
        {"ü": "é"},
    ],
)
def test_what_a_twin_may_hold(good: dict[str, Any]) -> None:
    check_desired(good)
    check_tags(good)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"a": "x" * 4097}, "text of more than 4096"),
        ({"a": ["é" * 2049]}, "text of more than 4096"),
        ({"k" * 1025: 1}, "a name with more"),
        ({"a": {"b c": 1}}, "a name with"),
        ({"a": {"b.c": 1}}, "a name with"),
        ({"$a": 1}, "a name with"),
        ({"a\u0007": 1}, "a name with"),
        ({"n": 4_503_599_627_370_497}, "whole number"),
        ({"n": -4_503_599_627_370_497}, "whole number"),
        (nested(11), "10 levels"),
    ],
)
def test_what_it_may_not(bad: dict[str, Any], what: str) -> None:
    for check in (check_desired, check_tags, check_reported):
        with pytest.raises(Malformed, match=what) as refused:
            check(bad)
        assert refused.value.rule == "twin-limit"


def test_sizes_are_counted_as_azure_does() -> None:
    check_tags({f"k{n:07}": 1 for n in range(512)})
    with pytest.raises(Malformed, match="more than 8192"):
        check_tags({f"k{n:07}": 1 for n in range(513)})
    check_tags({f"k{n:03}": True for n in range(1000)})
    check_desired({f"k{n:07}": 1.5 for n in range(2048)})
    for check in (check_desired, check_reported):
        with pytest.raises(Malformed, match="more than 32768"):
            check({f"k{n:07}": 1.5 for n in range(2049)})


@given(documents, documents)
def test_a_difference_is_what_merging_makes_up(first: dict[str, Any], second: dict[str, Any]) -> None:
    before, after = merged({}, first), merged({}, second)
    change = difference(before, after)
    assert repr(sorted_deep(merged(before, change))) == repr(sorted_deep(after))
    assert difference(after, after) == {}


def sorted_deep(value: Any) -> Any:
    return {name: sorted_deep(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, {}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": True}, {"a": 1}, {"a": 1}),
        ({"a": 0}, {"a": False}, {"a": False}),
        ({}, {"a": 1}, {"a": 1}),
    ],
)
def test_differences(before: dict[str, Any], after: dict[str, Any], change: dict[str, Any]) -> None:
    assert difference(before, after) == change
