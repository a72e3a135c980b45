import ast
import re
from pathlib import Path

import pytest

import accredit
from accredit.domain.errors import KINDS
from accredit.wire.rules import RULES

SOURCES = Path(accredit.__file__).parent

SHORTHANDS = {"refusal", "_refusal", "_unreadable", "_fail", "Rejected"}
"""Functions that make an error of a kind from the rule's name."""


def raised():
    """(rule, file) of every rule that the sources name: `rule="..."`, or a name handed to one of the shorthands."""
    for path in sorted(SOURCES.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call):
                for name in named(call):
                    yield name, f"{path.relative_to(SOURCES)}:{call.lineno}"


def named(call):
    function = getattr(call.func, "id", getattr(call.func, "attr", ""))
    values = [keyword.value for keyword in call.keywords if keyword.arg == "rule"]
    values += call.args[:2] if function in SHORTHANDS else []
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text = value.value
            if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
                yield text


def test_every_rule_that_is_raised_is_in_the_table():
    missing = {f"{rule} ({where})" for rule, where in raised() if rule not in RULES}
    assert not missing, "give each a row in src/accredit/wire/rules.py"


@pytest.mark.parametrize("slug", RULES)
def test_a_row_can_be_printed(slug):
    rule = RULES[slug]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert {rule.kind, *rule.also} <= set(KINDS)
    assert rule.code is None or 100_000 <= rule.code <= 999_999
    assert rule.sentence.endswith(".")
    assert len(rule.sentence.split()) > 3
