"""What a condition says, that every one ends, and that what can't be read is refused with its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.rule_language import MAX_CHARS, MAX_DEPTH, MAX_MATCHED_CHARS, ROOTS, expression

FACTS = {
    "registrationId": "EU-pump-17",
    "enrollmentId": "line-3",
    "payload": {
        "site": "Berlin",
        "power": 400,
        "lab": False,
        "none": None,
        "odd name": {"x": "y"},
        "list": [1],
    },
    "x509": {"subject": {"CN": "EU-pump-17", "O": "Contoso"}, "issuer": {"CN": "Line 3"}},
    "tags": {"tier": "gold"},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("registrationId == 'eu-PUMP-17'", True),
        ("registrationId startsWith 'eu-'", True),
        ("registrationId endsWith '-18'", False),
        ('enrollmentId contains "INE"', True),
        (r"registrationId matches 'eu-[a-z]+-\\d+'", True),
        (r"registrationId matches 'eu-[a-z]+'", False),
        ("payload.power >= 400", True),
        ("payload.power > 400", False),
        ("payload.power < 400.5", True),
        ("payload.power == 400.0", True),
        ("payload.power == '400'", False),
        ("payload.lab", False),
        ("payload.lab == false", True),
        ("payload.lab != true", True),
        ("payload['odd name'].x == 'y'", True),
        ("payload.nothing == null", True),
        ("payload.nothing.at.all == null", True),
        ("payload.none == null", True),
        ("payload.nothing != 'x'", True),
        ("payload.nothing < 1", False),
        ("payload.lab < 1", False),
        ("payload.list == payload.list", False),
        ("x509.subject.O == 'contoso' and x509.issuer.CN == 'line 3'", True),
        ("tags.tier == 'gold' or payload.nothing", True),
        ("not payload.lab and not (tags.tier == 'silver' or payload.power < 1)", True),
        ("true", True),
        ("false or null", False),
        ("'a' == 'b' or 'a' == 'b' and true", False),
        ("true or true and false", True),
        (r"'it\'s' == " + '"it\'s"', True),
        ("-1 < payload.power", True),
    ],
)
def test_what_it_says(text: str, holds: bool) -> None:
    assert expression(text).holds(FACTS) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a value is wanted, not the end"),
        ("registrationId ==", "not the end"),
        ("registrationId = 'x'", "at character 16 is not understood"),
        ("(true", "a ) is missing before the end"),
        ("true true", "'true' at character 6 is one too many"),
        ("device == 'x'", "'device' at character 1 is not one of registrationId"),
        ("payload. == 1", "a member is wanted after ."),
        ("payload[x] == 1", "a member is wanted after ["),
        ("payload['x' == 1", "a ] is missing"),
        ("registrationId matches enrollmentId", "a pattern in quotes"),
        ("registrationId matches '(a+)+'", "the pattern"),
        ("'open == 1", "is not understood"),
        ("and", "a value is wanted"),
        ("12345678901234567890 == 1", "is not understood"),
        ("1x == 1", "is not understood"),
        ("not " * MAX_DEPTH + "true", "nested more than"),
        ("(" * 100 + "true" + ")" * 100, "nested more than"),
        ("true and " * 200 + "true", "longer than"),
    ],
)
def test_what_can_t_be_read_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(Malformed) as refused:
        expression(text)
    assert refused.value.rule == "allocation-rule"
    assert said in refused.value.message


def test_a_long_text_matches_no_pattern() -> None:
    matches = expression("payload matches 'a*'").holds
    assert matches({"payload": "a" * MAX_MATCHED_CHARS})
    assert not matches({"payload": "a" * (MAX_MATCHED_CHARS + 1)})


def test_it_tells_what_it_asks_for() -> None:
    assert expression("registrationId == 'x' and payload.a == tags.b").roots == {
        "registrationId",
        "payload",
        "tags",
    }
    assert expression("true").roots == frozenset()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_FACTS = st.dictionaries(st.sampled_from(ROOTS), _JSON, max_size=5)
_WORDS = st.sampled_from(
    [*ROOTS, "and", "or", "not", "(", ")", "==", "!=", "<", ">=", "startsWith", "contains", "matches", ".", "[", "]",
     "'a'", '"b"', "1", "-2.5", "true", "null", "a", "b"]
)  # fmt: skip


@given(st.text(max_size=40) | st.lists(_WORDS, max_size=14).map(" ".join), _FACTS)
def test_any_text_is_a_condition_that_ends_or_is_refused(text: str, facts: dict[str, object]) -> None:
    try:
        condition = expression(text)
    except Malformed:
        return
    assert isinstance(condition.holds(facts), bool)
    assert len(text) <= MAX_CHARS


# Expressions with a twin in Python: both say the same.
_LEAVES = st.sampled_from(["payload.a", "payload.b", "tags", "1", "'x'", "true", "null"])


def _value(name: str, facts: dict[str, object]) -> object:
    payload = facts.get("payload")
    members = payload if isinstance(payload, dict) else {}
    known = {"payload.a": members.get("a"), "payload.b": members.get("b"), "tags": facts.get("tags")}
    return known[name] if name in known else json.loads(name.replace("'", '"'))


@given(_LEAVES, _LEAVES, _LEAVES, st.booleans(), _FACTS)
def test_logic_is_that_of_logic(
    left: str, right: str, other: str, both: bool, facts: dict[str, object]
) -> None:
    word = "and" if both else "or"
    said = expression(f"not ({left} == {right} {word} not {other} != {left})").holds(facts)
    one = expression(f"{left} == {right}").holds(facts)
    two = expression(f"{other} == {left}").holds(facts)
    assert said is not ((one and two) if both else (one or two))
    assert expression(f"{left} == {right}").holds(facts) is expression(f"{right} == {left}").holds(facts)
    if isinstance(_value(left, facts), str | int | bool | float | None):
        assert expression(f"{left} == {left}").holds(facts)
