"""What the documentation site is made of beside docs/: the pages at the root, and the order that docs/README.md gives.

The index page is the one list of pages (a test keeps it complete), so the navigation is read from it: each heading of it
is a section, each link an entry.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
AT_THE_ROOT = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

_HEADING = re.compile(r"^## (.+)$")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+\.md)\)")
_UP = re.compile(r"\]\((?:\.\./)+(" + "|".join(map(re.escape, AT_THE_ROOT)) + r")(#[^)]*)?\)")
_DOWN = re.compile(r"\]\(docs/([^)]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation from the index page."""
    sections: list[dict[str, list[dict[str, str]]]] = []
    for line in (ROOT / "docs" / "README.md").read_text().splitlines():
        heading = _HEADING.match(line)
        if heading:
            sections.append({heading[1]: []})
        elif sections:
            entries = next(iter(sections[-1].values()))
            entries += [{title: target.removeprefix("../")} for title, target in _LINK.findall(line)]
    project = [{name.removesuffix(".md").capitalize(): name} for name in AT_THE_ROOT[1:]]
    config.nav = [{"Documentation": "README.md"}, *sections, {"Project": project}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the root."""
    for name in AT_THE_ROOT:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """In the site the pages at the root stand beside those of docs/."""
    above = "../" * page.file.src_uri.count("/")
    markdown = _UP.sub(lambda link: f"]({above}{link[1]}{link[2] or ''})", markdown)
    return _DOWN.sub(r"](\1)", markdown) if page.file.src_uri in AT_THE_ROOT else markdown
