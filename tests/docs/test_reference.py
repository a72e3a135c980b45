"""Everything that has a name is in the docs: settings, commands, rules, routes, words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from accredit.administration.administration import administration
from accredit.cli.main import root
from accredit.config import SETTINGS
from accredit.fronts import hub_api, hub_registry, service_api
from accredit.fronts.device_api import routes as device_routes
from accredit.observe import EVENTS
from accredit.policy.access import NEEDED
from accredit.wire.refusals import KINDS_ON_THE_WIRE
from accredit.wire.rules import RULES

ROOT = Path(__file__).parents[2]


def _commands(command: object, path: str = "accredit") -> list[str]:
    inner = getattr(command, "commands", None)
    return (
        [path]
        if inner is None
        else [leaf for name in inner for leaf in _commands(inner[name], f"{path} {name}")]
    )


def test_the_generated_pages_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference-tables"), "--check"],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_every_event_is_documented(docs: Path) -> None:
    """That the table has every event that the code logs is checked where the page is made."""
    page = (docs / "events.md").read_text()
    assert len(EVENTS) > 50
    assert [name for name in EVENTS if f"| `{name}` |" not in page] == []
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py") if path.name != "observe.py")
    ours = {"log-lines-dropped", "log-line-lost"}
    assert [name for name in EVENTS if name not in ours and f'"{name}"' not in sources] == []


def test_every_setting_is_documented(docs: Path) -> None:
    page = (docs / "settings.md").read_text()
    assert [
        one.name for one in SETTINGS if f"`{one.name}`" not in page or f"`{one.variable}`" not in page
    ] == []


def test_every_command_is_documented(docs: Path) -> None:
    page = (docs / "cli.md").read_text()
    names = _commands(root())
    assert len(names) > 10
    assert [name for name in names if f"## {name}\n" not in page] == []


def test_every_rule_and_kind_is_documented(docs: Path) -> None:
    page = (docs / "errors.md").read_text()
    assert [name for name in RULES if f"| `{name}` |" not in page] == []
    assert [kind.__name__ for kind in KINDS_ON_THE_WIRE if f"| {kind.__name__} |" not in page] == []


def test_every_rule_that_a_page_names_exists(docs: Path) -> None:
    families = "|".join(sorted({name.split("-")[0] for name in RULES if "-" in name} - {"id"}))
    named = re.compile(rf"`((?:{families})-[a-z0-9-]+)`")
    unknown = {
        (page.name, name)
        for page in docs.rglob("*.md")
        for name in named.findall(page.read_text())
        if name not in RULES and page.name not in ("cli.md", "settings.md", "compatibility.md")
    }
    assert {each for each in unknown if each[1] not in _OTHER_NAMES} == set()


_OTHER_NAMES = {*EVENTS, "api-version", "provisioning-device-client", "message-id", "user-id"}
"""Events of the log and the like that look like rules."""


def test_every_right_of_a_call_is_documented(docs: Path) -> None:
    page = (docs / "service-api.md").read_text() + (docs / "hub-api.md").read_text()
    assert {right.value for right in NEEDED.values() if right.value not in page} == set()


def test_every_route_is_documented(docs: Path) -> None:
    """Addresses as the tables have them, with the names of parameters left out."""
    everything = administration(None, None, None, (), {})  # type: ignore[arg-type]
    rows = (*service_api.endpoints(everything, None), *hub_api.endpoints(None, None))  # type: ignore[arg-type]
    page = re.sub(r"\{\w+\}", "{}", (docs / "service-api.md").read_text())
    named = {(each.method, re.sub(r"\{\w+\}", "{}", each.path)) for each in rows}
    assert len(named) > 10
    assert {each for each in named if f"`{each[0]} {each[1]}`" not in page} == set()
    assert "`GET /openapi.json`" in page
    hub = (docs / "hub-api.md").read_text()
    registry = hub_registry.table(hub_registry.RegistryCalls(None))  # type: ignore[arg-type]
    assert [f"{method} {path}" for method, path, *_ in registry if f"`{method} {path}`" not in hub] == []
    assert len(device_routes(None, None, None)) == 3  # type: ignore[arg-type]
    device = (docs / "device-api.md").read_text()
    assert "/register?" in device
    assert "/operations/{operationId}?" in device


def test_every_word_of_the_glossary_is_used(docs: Path) -> None:
    glossary = (docs / "glossary.md").read_text()
    rows = [line.split("|")[1] for line in glossary.splitlines() if line.startswith("| **")]
    words = [word for row in rows for word in re.findall(r"\*\*(.+?)\*\*", row)]
    assert len(words) > 20
    pages = [*docs.rglob("*.md"), *ROOT.glob("*.md")]
    text = " ".join(page.read_text() for page in pages if page.name != "glossary.md").lower()
    assert [word for word in words if word.lower() not in text] == []


def test_the_glossary_is_in_order(docs: Path) -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\*", (docs / "glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words, key=str.lower)


def test_the_commands_of_the_readme_exist() -> None:
    """Every `make` target that a page names is one of the Makefile's."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = {
        word
        for page in pages
        for span in re.findall(r"(?:`|\$ )make ([a-z ]+)", page.read_text())
        for word in span.split(" #")[0].split()
        if word.isalpha()
    }
    assert {"demo", "test"} <= named
    prose = {word for word in named - targets if word not in ("one", "device", "from", "its", "the", "whole")}
    assert prose == set()
