"""docs/authorities.md against the code: every type that there is, what its connector can do, and the members it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accredit.administration.authority_types import TYPES
from accredit.app.authorities import abilities, connector
from support.tried import TRIED

OUTSIDE = sorted(set(TYPES) - {"BuiltIn"})
_ROW = re.compile(r"^\| \[`(\w+)`\]\(#([\w-]+)\)[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)


@pytest.fixture
def page(docs: Path) -> str:
    return (docs / "authorities.md").read_text()


@pytest.mark.parametrize("kind", OUTSIDE)
def test_what_the_connector_can_do(page: str, kind: str) -> None:
    (row,) = (match for match in _ROW.finditer(page) if match[1] == kind)
    can = abilities(connector(kind))
    look_up, approval, revoke, tried = (cell.strip() for cell in row.groups()[2:])
    # Who keeps orders at addresses finds what was lost there.
    assert look_up.startswith("yes") == ("lookUp" in can)
    assert approval.startswith("yes") == ("poll" in can)
    assert revoke.startswith("yes") == ("revoke" in can)
    assert [tried] == [each.on for each in TRIED if each.kind == kind]


@pytest.mark.parametrize("kind", OUTSIDE)
def test_every_member_is_told(page: str, kind: str) -> None:
    (row,) = (match for match in _ROW.finditer(page) if match[1] == kind)
    sections = {
        _anchor(title): body
        for title, body in re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", page, re.MULTILINE)
    }
    told = sections[row[2]]
    everywhere = {"trustAnchors", "maxValidityDays"}
    members = set(TYPES[kind].settings) | set(TYPES[kind].secrets)
    assert [member for member in sorted(members - everywhere) if f"`{member}`" not in told] == []


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
