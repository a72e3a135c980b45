"""docs/compatibility.md: what the matrix of SDKs declares, and what of it has passed.

A test of the matrix claims its cell. `pytest --write-compatibility` writes the page from the claims that passed; a
test holds the page against what the matrix declares, so that a cell that no longer passes can't stay on the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from support.device_sdks import CLIENTS
from support.ways_to_enroll import WAYS

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

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


def declared() -> frozenset[Cell]:
    return frozenset(
        Cell(client.sdk, client.wire, way.attestation, way.enrollment, certificate=certificate)
        for client in CLIENTS
        for way in WAYS
        for certificate in (False, True)
    )


class Witness:
    """A plugin that listens to the tests' outcomes and writes the page at the end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._passed: set[Cell] = set()
        self._failed: set[Cell] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cells = {
            Cell(**json.loads(str(value))) for name, value in report.user_properties if name == _PROPERTY
        }
        if report.outcome != "passed":
            self._failed |= cells
        elif report.when == "call":
            self._passed |= cells

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        shown = self._passed - self._failed
        self._page.write_text(page(shown))
        terminalreporter.write_line(f"{self._page}: {len(shown)} of {len(declared())} cells passed")


_HEAD = """# Compatibility

<!-- Made by scripts/compatibility from the tests that passed; do not edit. -->

Azure's own SDKs, unmodified, against `accredit`. Each *yes* is an end-to-end test: the device provisions with the attestation of the
column, is assigned a hub, connects to it on the same wire, and its messages are seen by `accredit hub telemetry`.
[Connect a device](how-to/connect-a-device.md) shows how.

"""


def page(shown: Collection[Cell]) -> str:
    return (
        _HEAD
        + "## Without a certificate\n\nThe device goes to the hub with what it was enrolled with.\n\n"
        + "".join(_table(shown, certificate=False))
        + "\n## With a certificate\n\nThe device sends a CSR in the custom payload, and goes to the hub with what it was issued.\n\n"
        + "".join(_table(shown, certificate=True))
    )


def _table(shown: Collection[Cell], *, certificate: bool) -> Iterator[str]:
    columns = list(dict.fromkeys((way.attestation, way.enrollment) for way in WAYS))
    yield _row("SDK", "wire", *(f"{attestation}, {enrollment}" for attestation, enrollment in columns))
    yield _row(*["---"] * (2 + len(columns)))
    for client in CLIENTS:
        cells = (Cell(client.sdk, client.wire, *column, certificate=certificate) for column in columns)
        yield _row(client.package, client.wire, *("yes" if cell in shown else "no" for cell in cells))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"
