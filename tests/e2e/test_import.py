"""`accredit enroll import`: every line has its outcome, whichever way it goes, and a run that was broken off goes on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.enrolling import issuing
from support.raw_device import DpsDevice
from support.running_service import RunningService, accredit


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    service = RunningService(tmp_path_factory.mktemp("import"))
    service.start()
    yield service
    if service.process is not None and service.process.poll() is None:
        service.stop()
    assert "Traceback" not in service.log_text()


def document(name: str, **members: Any) -> str:
    return json.dumps({"registrationId": name, "attestation": {"type": "symmetricKey"}, **members})


def imported(running: RunningService, text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """By standard input, as a pipe brings it."""
    return accredit("enroll", "import", "-", "--data-dir", str(running.data), *flags, given=text)


def enrolled(running: RunningService, prefix: str) -> list[str]:
    rows = running.rows("enroll", "list", "--where", f"STARTSWITH(registrationId, '{prefix}')")
    return [row["registrationId"] for row in rows]


MIXED = [
    document("{p}-0", **issuing()),
    "",
    document("{p}-1"),
    "not json",
    "[]",
    document("no such name!"),
    document("{p}-2", iotHubs=["elsewhere.example"]),
    document("{P}-1"),
    json.dumps({"registrationId": "{p}-3"}),
    *(document(f"{{p}}-x{number}") for number in range(25)),
]
"""A file with every sort of line: which of them are refused, and why, is the same online and offline."""

REFUSED = {
    4: "not a JSON object",
    5: "not a JSON object",
    6: "registrationId",
    7: "not linked",
    9: "attestation",
}


def mixed(prefix: str) -> str:
    text = "\n".join(MIXED).replace("{p}", prefix).replace("{P}", prefix.upper())
    return text + "\n"


def check_mixed(ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 1
    assert ran.stdout == "33 lines: 27 enrolled, 1 were there already, 5 refused.\n"
    *told, sentence = ran.stderr.splitlines()
    assert "import the file again" in sentence
    assert [int(line.split(":")[0].removeprefix("line ")) for line in told] == list(REFUSED)
    for line, reason in zip(told, REFUSED.values(), strict=True):
        assert reason in line


def test_every_line_has_its_outcome(running: RunningService) -> None:
    check_mixed(imported(running, mixed("online")))
    assert len(enrolled(running, "online-")) == 27


def test_the_same_file_again_changes_nothing(running: RunningService) -> None:
    text = "".join(document(f"twice-{number}") + "\n" for number in range(30))
    assert imported(running, text).stdout == "30 lines: 30 enrolled, 0 were there already, 0 refused.\n"
    before = running.client().call("GET", "/enrollments/twice-7").json()
    again = imported(running, text)
    assert again.stdout == "30 lines: 0 enrolled, 30 were there already, 0 refused.\n"
    assert again.returncode == 0
    assert running.client().call("GET", "/enrollments/twice-7").json() == before


def test_it_goes_on_where_it_was_broken_off(running: RunningService) -> None:
    text = "".join(document(f"from-{number}") + "\n" for number in range(10))
    ran = imported(running, text, "--from", "4")
    assert ran.stdout == "7 lines: 7 enrolled, 0 were there already, 0 refused.\n"
    assert enrolled(running, "from-") == [f"from-{number}" for number in range(3, 10)]


def test_a_line_that_is_too_long_costs_itself_alone(running: RunningService) -> None:
    text = document("long-0") + "\n" + "x" * 2_500_000 + "\n" + document("long-1") + "\n"
    ran = imported(running, text)
    assert ran.stdout == "3 lines: 2 enrolled, 0 were there already, 1 refused.\n"
    assert ran.stderr.startswith("line 2: The line is longer than 1048576 bytes.\n")


def test_offline_is_refused_while_the_service_runs(running: RunningService, tmp_path: Path) -> None:
    ran = imported(running, document("never"), "--offline")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Another accredit service runs" in ran.stderr
    elsewhere = accredit("enroll", "import", "-", "--offline", "--data-dir", str(tmp_path), given="")
    assert elsewhere.returncode == 1
    assert "There is no database" in elsewhere.stderr
    elsewhere = accredit(
        *("enroll", "import", "-", "--offline", "--data-dir", str(running.data)),
        environment={"ACCREDIT_DATABASE_URL": "postgresql://nobody@127.0.0.1/nothing"},
    )
    assert "import through the service" in elsewhere.stderr
    both = imported(running, "", "--offline", "--connection-string", "HostName=x")
    assert both.returncode == 2
    missing = accredit("enroll", "import", str(tmp_path / "none"), "--data-dir", str(running.data))
    assert "can't be read" in missing.stderr


def test_offline_enrolls_the_same_and_the_devices_register(running: RunningService) -> None:
    running.stop()
    nobody = imported(running, document("nobody"))
    assert nobody.returncode == 1
    assert "No service answers" in nobody.stderr
    check_mixed(imported(running, mixed("offline"), "--offline"))
    running.start()
    assert len(enrolled(running, "offline-")) == 27
    shown = running.client().call("POST", "/enrollments/offline-x1/attestationmechanism").json()
    with DpsDevice(running, "offline-x1", key=shown["symmetricKey"]["primaryKey"]) as device:
        assert device.registers().status == 200
