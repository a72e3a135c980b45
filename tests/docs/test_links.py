"""Every link inside the project leads somewhere: to a file, and to a heading in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "requirements").glob("*.md")])

_FENCES = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:[a-z_0-9-]+/)+[a-z_0-9.-]*\.(?:py|md|sql|toml))`")


def _prose(page: Path) -> str:
    return _FENCES.sub("", page.read_text())


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    plain = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def _links(page: Path) -> Iterator[str]:
    return (link for link in _LINK.findall(_prose(page)) if not re.match(r"[a-z]+:", link))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_resolves(page: Path) -> None:
    broken = []
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    """`provisioning/register.py` stands below src/accredit, other paths at the root."""
    named = set(_PATH.findall(_prose(page)))
    assert {
        each for each in named if not any((base / each).exists() for base in (ROOT, ROOT / "src/accredit"))
    } == set()


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    index = {(docs / link.partition("#")[0]).resolve() for link in _links(docs / "README.md")}
    linked = index | {(ROOT / link.partition("#")[0]).resolve() for link in _links(ROOT / "README.md")}
    assert {page for page in docs.rglob("*.md") if page.name != "README.md"} - linked == set()
