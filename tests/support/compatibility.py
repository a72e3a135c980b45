"""docs/compatibility.md: what the matrix of SDKs declares, and what of it has passed.

A test of the matrix claims its cell; an SDK that can't run here has the tests that speak as its source does.
`pytest --write-compatibility` writes the page from what passed; a test holds the page against what is declared, so that
what no longer passes can't stay on the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from support.device_sdks import CLIENTS
from support.sdk_checklist import LINES, holding
from support.ways_to_enroll import WAYS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"

_PROPERTY = "compatibility"


@dataclass(frozen=True)
class Cell:
    """`certificate`: the device sent a CSR, and went to the hub with what it was issued."""

    sdk: str
    wire: str
    attestation: str
    enrollment: str
    certificate: bool

    def claim(self, record_property: Callable[[str, object], None]) -> None:
        """Say that the running test shows it; it counts where all tests that claim it pass."""
        record_property(_PROPERTY, json.dumps(asdict(self)))


@dataclass(frozen=True)
class BySource:
    """An SDK that can't run here, and the tests that speak as its source does: the beginning of their ids."""

    sdk: str
    wire: str
    tests: str


_SCRIPTS = "tests/wire_scripts/test_dps"

BY_SOURCE = (
    BySource("C# `Microsoft.Azure.Devices.Provisioning.Client`", "MQTT", f"{_SCRIPTS}_mqtt.py::TestCSharp"),
    BySource("C#", "MQTT over WebSocket", f"{_SCRIPTS}_websocket.py"),
    BySource("C#", "HTTPS", f"{_SCRIPTS}_https.py::TestCSharp"),
    BySource("Java `provisioning-device-client`", "MQTT", f"{_SCRIPTS}_mqtt.py::TestJava"),
    BySource("Java", "MQTT over WebSocket", f"{_SCRIPTS}_websocket.py"),
    BySource("Java", "HTTPS", f"{_SCRIPTS}_https.py::TestJava"),
    BySource("C `azure-iot-sdk-c`", "MQTT", f"{_SCRIPTS}_mqtt.py::TestC::"),
    BySource("C", "MQTT over WebSocket", f"{_SCRIPTS}_websocket.py"),
    BySource("C", "HTTPS", f"{_SCRIPTS}_https.py::TestC::"),
)


@dataclass(frozen=True)
class Shown:
    """What passed, or what is declared to pass."""

    cells: Collection[Cell]
    by_source: Collection[BySource]


def declared() -> Shown:
    cells = frozenset(
        Cell(client.sdk, client.wire, way.attestation, way.enrollment, certificate=certificate)
        for client in CLIENTS
        for way in WAYS
        for certificate in (False, True)
    )
    return Shown(cells, BY_SOURCE)


class Witness:
    """A plugin that listens to the tests' outcomes and writes the page at the end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._passed: set[Cell] = set()
        self._failed: set[Cell] = set()
        self._outcomes: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        passed = report.outcome == "passed"
        self._outcomes[report.nodeid] = passed and self._outcomes.get(report.nodeid, True)
        cells = {
            Cell(**json.loads(str(value))) for name, value in report.user_properties if name == _PROPERTY
        }
        if not passed:
            self._failed |= cells
        elif report.when == "call":
            self._passed |= cells

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        shown = Shown(self._passed - self._failed, tuple(filter(self._held, BY_SOURCE)))
        self._page.write_text(page(shown))
        terminalreporter.write_line(
            f"{self._page}: {len(shown.cells)} of {len(declared().cells)} cells, "
            f"{len(shown.by_source)} of {len(BY_SOURCE)} rows by source passed"
        )

    def _held(self, row: BySource) -> bool:
        outcomes = [passed for name, passed in self._outcomes.items() if name.startswith(row.tests)]
        return bool(outcomes) and all(outcomes)


_HEAD = """# Compatibility

<!-- Made by scripts/compatibility from the tests that passed; do not edit. -->

Azure's own SDKs, unmodified, against `accredit`. Each *yes* is an end-to-end test: the device provisions with the attestation of the
column, is assigned a hub, connects to it on the same wire, and its messages are seen by `accredit hub telemetry`.
[Connect a device](how-to/connect-a-device.md) shows how; [Divergences](divergences.md) lists what is not as in Azure.

## Without a certificate

The device goes to the hub with what it was enrolled with.

"""

_WITH = """
## With a certificate

The device sends a CSR in the custom payload, and goes to the hub with what it was issued.

"""

_BY_SOURCE = """
## By source

These SDKs can't run in the tests. What they write, by their own sources, is sent to the service byte by byte, and what they insist on
is demanded of each answer.

"""

_CHECKLIST = """
## What SDKs insist on

Where an SDK breaks although the protocol is kept. Each line is held by tests that name the SDK's file.

"""


def page(shown: Shown) -> str:
    return (
        _HEAD
        + "".join(_table(shown.cells, certificate=False))
        + _WITH
        + "".join(_table(shown.cells, certificate=True))
        + _BY_SOURCE
        + "".join(_by_source(shown.by_source))
        + _CHECKLIST
        + "".join(_checklist())
    )


def _table(shown: Collection[Cell], *, certificate: bool) -> Iterator[str]:
    columns = list(dict.fromkeys((way.attestation, way.enrollment) for way in WAYS))
    yield from _heading(
        "SDK", "wire", *(f"{attestation}, {enrollment}" for attestation, enrollment in columns)
    )
    for client in CLIENTS:
        cells = (Cell(client.sdk, client.wire, *column, certificate=certificate) for column in columns)
        yield _row(client.package, client.wire, *("yes" if cell in shown else "no" for cell in cells))


def _by_source(shown: Collection[BySource]) -> Iterator[str]:
    yield from _heading("SDK", "wire", "speaks and understands", "tests")
    for row in BY_SOURCE:
        file = row.tests.partition("::")[0]
        yield _row(row.sdk, row.wire, "yes" if row in shown else "no", f"`{file}`")


def _checklist() -> Iterator[str]:
    held = holding()
    yield from _heading("", "what", "seen in", "tests")
    for number, line in LINES.items():
        files = dict.fromkeys(test.name.partition("::")[0] for test in held.get(number, ()))
        tests = ", ".join(f"`{file}`" for file in files) or f"with {line.awaits}"
        yield _row(str(number), line.claim, ", ".join(f"`{file}`" for file in line.files), tests)


def _heading(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*["---"] * len(names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"
