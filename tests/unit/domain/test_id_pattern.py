"""What may describe registration ids, and that no such description takes long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.id_pattern import MAX_CHARS, id_pattern


@pytest.mark.parametrize(
    ("pattern", "matched", "other"),
    [
        ("line-[0-9]+", "Line-17", "line-"),
        (r"^sensor\.\d{3}$", "sensor.004", "sensorx004"),
        ("a{2,3}b?", "AAB", "ab"),
        (r"line-\d|cell-\d", "cell-7", "cell-77"),
        ("[^x]y.z", "ayyz", "xyyz"),
        ("gw:.*-.+", "gw:north-1", "gw:north"),
    ],
)
def test_it_is_held_against_the_whole_id_in_any_case(pattern: str, matched: str, other: str) -> None:
    assert id_pattern(pattern).fullmatch(matched)
    assert not id_pattern(pattern).fullmatch(other)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "(", "(a+)+b", "(?:a|b)", ".*.*.*x", "a?a?a?aaa", "a++", "*", "a|", "[", "[]", "[z-a]", r"\1", r"\b", "a{3,2}",
        "ä", "a b", "x" * (MAX_CHARS + 1),
    ],
)  # fmt: skip
def test_what_could_take_long_or_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(Malformed) as refused:
        id_pattern(pattern)
    assert refused.value.rule == "id-pattern"


@given(st.text(alphabet="ab.*+?[]{},|^$\\d0-", max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        compiled = id_pattern(text)
    except Malformed:
        return
    assert compiled.pattern == text
    for alternative in text.split("|"):
        assert len(re.findall(r"[*+?]", re.sub(r"\[[^\]]*\]", "", alternative))) <= 2
