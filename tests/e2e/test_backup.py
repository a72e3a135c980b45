"""A backup taken while devices come in, and what becomes of everybody when the service goes back to it."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from accredit.cli.problem import Problem
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService, accredit

GOOD, REFUSED = 0, 5


class Fleet:
    """Devices of one group, at whichever service stands now."""

    def __init__(self, service: RunningService, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.master = symmetric_group(service, "fleet", **issuing())
        self.serials: list[str] = []

    def provisions(self, name: str) -> tuple[Path, Path]:
        """Certificate and key files."""
        key = DeviceKey(name, self.folder / f"{name}-{len(self.serials)}")
        with DpsDevice(self.service, name, key=derived_key(self.master, name)) as device:
            answer = device.registers(clientCertificateCsr=key.csr())
        assert answer.document["status"] == "assigned", answer
        (newest,) = self.service.certificates(name)[-1:]
        self.serials.append(newest["serial"])
        return key.write(answer.state["issuedClientCertificate"]), key.file

    def connects(self, name: str, certificate: tuple[Path, Path]) -> int:
        with HubDevice(self.service, name, certificate=certificate) as device:
            if device.code == GOOD:
                device.sends(name.encode())
            return device.code


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    with RunningService(tmp_path / "first") as running:
        yield running


def head(service: RunningService, size: int, to: Path) -> Path:
    """The log's head, once it covers so many leaves."""
    while True:
        with suppress(Problem):  # there is none in the first half second
            told = service.client().call("GET", "/issuanceLog/head")
            if told.json()["treeSize"] >= size:
                to.write_bytes(told.content)
                return to
        time.sleep(0.05)


def test_a_service_goes_back_to_a_backup(service: RunningService, tmp_path: Path) -> None:
    fleet = Fleet(service, tmp_path)
    kept = fleet.provisions("kept")
    assert fleet.connects("kept", kept) == GOOD
    early = head(service, 1, tmp_path / "early.json")

    done = threading.Event()
    taken: list[str] = []

    def backs_up() -> None:
        try:
            taken.append(accredit("backup", str(tmp_path / "b.tar"), "--data-dir", str(service.data)).stdout)
        finally:
            done.set()

    thread = threading.Thread(target=backs_up)
    thread.start()
    numbers = count(1)
    while not done.is_set():
        fleet.provisions(f"meanwhile-{next(numbers)}")
    thread.join()
    assert "needs the master key" in taken[0]
    late = fleet.provisions("late")
    assert fleet.connects("late", late) == GOOD
    newest = head(service, len(fleet.serials), tmp_path / "newest.json")
    refused = accredit("restore", str(tmp_path / "b.tar"), "--data-dir", str(service.data))
    assert (refused.returncode, "Another accredit service runs" in refused.stderr) == (1, True)
    service.stop()

    second = RunningService(tmp_path / "second", host=service.host)
    second.folder.mkdir()
    restored = accredit("restore", str(tmp_path / "b.tar"), "--data-dir", str(second.data))
    assert restored.returncode == 0, restored.stderr
    needed = re.search(r"sealed with the master key ([0-9a-f]{16}), which is not here", restored.stdout)
    assert needed is not None, restored.stdout
    assert needed[1] in taken[0]
    shutil.copy(service.data / "master.key", second.data / "master.key")
    with second:
        fleet.service = second
        # What the backup has goes on as if nothing had been.
        assert second.id_scope == service.id_scope
        assert [row["body"] for row in second.telemetry("kept")] == ["kept"]
        assert fleet.connects("kept", kept) == GOOD
        # What came later is not known, gets a certificate of its own, and is known.
        assert fleet.connects("late", late) == REFUSED
        assert fleet.connects("late", fleet.provisions("late")) == GOOD
        assert len(set(fleet.serials)) == len(fleet.serials)
        assert second.cli("log", "verify").returncode == 0
        assert second.cli("log", "verify", "--against", str(early)).returncode == 0
        told = second.cli("log", "verify", "--against", str(newest), check=False)
        assert told.returncode == 1
        assert "says that a backup was restored on" in told.stderr


def test_a_backup_that_carries_its_key_says_so_and_needs_nothing(
    service: RunningService, tmp_path: Path
) -> None:
    done = service.cli("backup", str(tmp_path / "b.tar"), "--with-master-key")
    assert "every secret of the service" in done.stderr
    checked = accredit("restore", str(tmp_path / "b.tar"), "--check")
    assert (checked.returncode, "is whole" in checked.stdout) == (0, True)
    second = RunningService(tmp_path / "second", host=service.host)
    second.folder.mkdir()
    service.stop()
    restored = accredit("restore", str(tmp_path / "b.tar"), "--data-dir", str(second.data))
    assert "which is not here" not in restored.stdout
    with second:
        assert second.id_scope == service.id_scope


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_what_can_not_be_done_is_said_in_one_sentence(tmp_path: Path, command: str) -> None:
    ran = accredit(command, str(tmp_path / "none.tar"), "--data-dir", str(tmp_path / "none"))
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert str(tmp_path / "none") in ran.stderr
