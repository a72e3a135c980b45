"""docs/compatibility.md: what the matrix of SDKs declares, and what of it has passed.

A test of the matrix claims its cell; an SDK that can't run here has the tests that speak as its source does.
`pytest --write-compatibility` writes the page from what passed; a test holds the page against what is declared, so that
what no longer passes can't stay on the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from support.device_sdks import CLIENTS
from support.node_client import node_version
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


def _pypi(package: str) -> str:
    return f"Python `{package}` {version(package)}"


def _npm(package: str) -> str:
    return f"Node `{package}` {node_version(package)}"


@dataclass(frozen=True)
class Held:
    """What the tests whose ids begin so, and have `case` in them, hold all together; `wire` is empty where there is but one."""

    sdk: str
    wire: str
    tests: str
    case: str = ""


_SERVICE = "tests/e2e/test_service_sdks.py"

SERVICE_SDKS = (
    Held(_pypi("azure-iothub-provisioningserviceclient"), "", f"{_SERVICE}::TestPythonServiceClient"),
    Held(_pypi("azure-iot-deviceprovisioning"), "", f"{_SERVICE}::TestPythonDeviceProvisioning"),
    Held(_npm("azure-iot-provisioning-service"), "", f"{_SERVICE}::TestNode"),
)

_NODE_TPM = "tests/e2e/test_node_tpm.py::TestNode"

TPM = (
    Held(_npm("azure-iot-security-tpm"), "AMQP", _NODE_TPM, "[amqp]"),
    Held(_npm("azure-iot-security-tpm"), "AMQP over WebSocket", _NODE_TPM, "[amqp-ws]"),
    Held(_npm("azure-iot-security-tpm"), "HTTPS", _NODE_TPM, "[http]"),
    Held("`tpm2-tools`", "HTTPS", "tests/e2e/test_tpm.py"),
)

EST = (
    Held("curl and openssl", "HTTPS", "tests/e2e/test_est.py", "curl"),
    Held("strongSwan `pki` 5.9", "HTTPS", "tests/e2e/test_est.py", "strongswan"),
)

_SCRIPTS = "tests/wire_scripts/test_dps"

BY_SOURCE = (
    Held("C# `Microsoft.Azure.Devices.Provisioning.Client`", "MQTT", f"{_SCRIPTS}_mqtt.py::TestCSharp"),
    Held("C#", "MQTT over WebSocket", f"{_SCRIPTS}_websocket.py"),
    Held("C#", "HTTPS", f"{_SCRIPTS}_https.py::TestCSharp"),
    Held("C#", "AMQP", f"{_SCRIPTS}_amqp.py::TestCSharp"),
    Held("Java `provisioning-device-client`", "MQTT", f"{_SCRIPTS}_mqtt.py::TestJava"),
    Held("Java", "MQTT over WebSocket", f"{_SCRIPTS}_websocket.py"),
    Held("Java", "HTTPS", f"{_SCRIPTS}_https.py::TestJava"),
    Held("Java", "AMQP", f"{_SCRIPTS}_amqp.py::TestJava"),
    Held("C `azure-iot-sdk-c`", "MQTT", f"{_SCRIPTS}_mqtt.py::TestC::"),
    Held("C", "MQTT over WebSocket", f"{_SCRIPTS}_websocket.py"),
    Held("C", "HTTPS", f"{_SCRIPTS}_https.py::TestC::"),
    Held("C", "AMQP", f"{_SCRIPTS}_amqp.py::TestC::"),
)


ROWS = (*SERVICE_SDKS, *TPM, *EST, *BY_SOURCE)


@dataclass(frozen=True)
class Shown:
    """What passed, or what is declared to pass."""

    cells: Collection[Cell]
    rows: Collection[Held]


def declared() -> Shown:
    cells = frozenset(
        Cell(client.sdk, client.wire, way.attestation, way.enrollment, certificate=certificate)
        for client in CLIENTS
        for way in WAYS
        for certificate in (False, True)
    )
    return Shown(cells, ROWS)


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
        shown = Shown(self._passed - self._failed, tuple(filter(self._held, ROWS)))
        self._page.write_text(page(shown))
        terminalreporter.write_line(
            f"{self._page}: {len(shown.cells)} of {len(declared().cells)} cells, "
            f"{len(shown.rows)} of {len(ROWS)} rows passed"
        )

    def _held(self, row: Held) -> bool:
        outcomes = [
            passed
            for name, passed in self._outcomes.items()
            if name.startswith(row.tests) and row.case in name
        ]
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

_SERVICE_SDKS = """
## Service SDKs

Unmodified as well: create, read, update with a conflict of etags, queries in pages, bulk operations, delete, for enrollments, groups and
registrations.

"""

_TPM = """
## TPM

A TPM 2.0 emulator (swtpm), driven by an SDK and by Debian's tools: challenge, proof, the hub's key, and telemetry signed with it.

"""

_EST = """
## EST

Clients of RFC 7030 that are not ours: the CA's certificates, enrollment, a slow CA, renewal, and the hub with what was issued.

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
        + _SERVICE_SDKS
        + "".join(_service_sdks(shown.rows))
        + _TPM
        + "".join(_wires(TPM, shown.rows, "the TPM driven by", "works"))
        + _EST
        + "".join(_wires(EST, shown.rows, "client", "works"))
        + _BY_SOURCE
        + "".join(_wires(BY_SOURCE, shown.rows, "SDK", "speaks and understands"))
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


def _service_sdks(shown: Collection[Held]) -> Iterator[str]:
    yield from _heading("SDK", "works", "tests")
    for row in SERVICE_SDKS:
        yield _row(row.sdk, "yes" if row in shown else "no", _file(row))


def _wires(rows: Collection[Held], shown: Collection[Held], what: str, verb: str) -> Iterator[str]:
    yield from _heading(what, "wire", verb, "tests")
    for row in rows:
        yield _row(row.sdk, row.wire, "yes" if row in shown else "no", _file(row))


def _file(row: Held) -> str:
    return f"`{row.tests.partition('::')[0]}`"


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
