"""`accredit log`: an export and a head that was kept find whatever is done to the database behind the service's back."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.command import Ran, command
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.raw_device import DpsDevice
from support.running_service import RunningService

Run = Callable[..., Ran]
DEVICES = 3


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service of this file's own, because its database gets spoiled; some certificates are issued."""
    folder = tmp_path_factory.mktemp("log")
    with RunningService(folder) as running:
        master = symmetric_group(running, "line", **issuing())
        for number in range(DEVICES):
            key = DeviceKey(f"lamp-{number}", folder)
            with DpsDevice(running, key.registration_id, key=derived_key(master, key.registration_id)) as one:
                one.registers(clientCertificateCsr=key.csr())
        yield running


@pytest.fixture
def kept(run: Run, tmp_path: Path) -> Path:
    """A head over all certificates, in a file."""
    while run("log", "head").code or run("log", "head").document["treeSize"] < DEVICES:
        time.sleep(0.05)
    file = tmp_path / "head.json"
    file.write_text(run("log", "head").out)
    return file


@pytest.fixture
def exported(run: Run, kept: Path, tmp_path: Path) -> Path:
    file = tmp_path / "log.jsonl"
    assert run("log", "export", "--out", str(file)).code == 0
    return file


def test_the_log_is_what_the_head_says(run: Run, kept: Path) -> None:
    assert "log is whole" in run("log", "verify").out
    assert f"begins with the {DEVICES} leaves" in run("log", "verify", "--against", str(kept)).out


def test_an_export_needs_no_service(kept: Path, exported: Path, tmp_path: Path) -> None:
    offline = (
        "log",
        "verify",
        "--against",
        str(kept),
        "--export",
        str(exported),
        "--data-dir",
        str(tmp_path / "none"),
    )
    assert f"{DEVICES} leaves" in command(*offline).out
    assert len(exported.read_text().splitlines()) == DEVICES


def test_the_export_goes_to_standard_output_and_comes_from_standard_input(
    run: Run, kept: Path, exported: Path
) -> None:
    out = run("log", "export").out
    assert out == exported.read_text()
    assert run("log", "verify", "--against", str(kept), "--export", "-", given=out).code == 0


def test_an_export_without_a_head_proves_nothing(run: Run, exported: Path) -> None:
    assert "--against" in run("log", "verify", "--export", str(exported)).sentence


Rows = list[dict]


def _without_the_last(rows: Rows) -> Rows:
    return rows[:-1]


def _with_a_gap(rows: Rows) -> Rows:
    return [rows[0], rows[2]]


def _with_another_instant(rows: Rows) -> Rows:
    return [rows[0] | {"loggedAt": rows[0]["loggedAt"] + 1}, *rows[1:]]


def _with_another_certificate(rows: Rows) -> Rows:
    return [rows[0] | {"certificate": rows[1]["certificate"]}, *rows[1:]]


def _without_a_certificate(rows: Rows) -> Rows:
    return [{name: value for name, value in rows[0].items() if name != "certificate"}, *rows[1:]]


def _in_another_order(rows: Rows) -> Rows:
    """Each line agrees with itself, so that only the root can tell."""
    return [row | {"sequence": place} for place, row in enumerate((rows[1], rows[0], *rows[2:]))]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (_without_the_last, "leaves were removed"),
        (_with_a_gap, "is missing"),
        (_with_another_instant, "does not cover"),
        (_with_another_certificate, "does not cover"),
        (_without_a_certificate, "is gone"),
        (_in_another_order, "not those that the head covers"),
    ],
)
def test_a_changed_export_is_found(
    run: Run, kept: Path, exported: Path, spoilt: Callable[[Rows], Rows], said: str
) -> None:
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    exported.write_text("".join(json.dumps(row) + "\n" for row in spoilt(rows)))
    ran = run("log", "verify", "--against", str(kept), "--export", str(exported))
    assert ran.code == 1
    assert said in ran.sentence


@pytest.mark.parametrize("member", ["rootHash", "treeSize", "timestamp", "signature"])
def test_a_changed_head_is_no_head(run: Run, kept: Path, member: str) -> None:
    head = json.loads(kept.read_text())
    other = {"rootHash": "00" * 32, "treeSize": 2, "timestamp": 1, "signature": "AAAA" * 21 + "AA=="}
    kept.write_text(json.dumps(head | {member: other[member]}))
    assert run("log", "verify", "--against", str(kept)).code == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"treeSize": "x"}'])
def test_a_file_that_is_no_head(run: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "head.json"
    file.write_text(text)
    assert str(file) in run("log", "verify", "--against", str(file)).sentence
    assert "can't be read" in run("log", "verify", "--against", str(tmp_path / "absent")).sentence


def test_what_is_done_to_the_database_directly_is_found(
    run: Run, service: RunningService, kept: Path
) -> None:
    """A certificate and its leaf vanish together: leaves and certificates still match, but the head remembers."""
    database = sqlite3.connect(service.data / "accredit.db", timeout=5)
    with database:
        (sha256,) = database.execute("SELECT sha256 FROM certificates ORDER BY id LIMIT 1").fetchone()
        database.execute("DELETE FROM certificates WHERE sha256 = ?", (sha256,))
        database.execute("DELETE FROM log_leaves WHERE sha256 = ?", (sha256,))
    database.close()
    assert run("log", "verify").code == 0
    ran = run("log", "verify", "--against", str(kept))
    assert ran.code == 1
    assert "is missing" in ran.sentence
