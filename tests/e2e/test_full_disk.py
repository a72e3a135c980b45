"""The disk is full, or somebody else holds the database: devices are told to come back, and nothing said is lost.

The full disk is a small tmpfs over the data folder, which needs root; without it those tests are skipped. Afterwards
the same process serves again, by itself.
"""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accredit.cli.problem import Problem
from accredit.wire import mqtt, topics
from support.device_key import DeviceKey, derived_key
from support.digicert_process import DigiCertProcess
from support.raw_device import Answer, DpsDevice, HubDevice
from support.running_service import RunningService

SIZE_MIB = 8
CHUNK = 65_536
MOST_TRIES = 600
RECOVERS_WITHIN_S = 60.0
STORE_UNAVAILABLE = 503_001
KEY = {"attestation": {"type": "symmetricKey"}}


@dataclass
class Disk:
    """The data folder's own small disk, and the file that fills it."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """To the last byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (CHUNK, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    yield from small_disk(tmp_path / "service" / "data")


@pytest.fixture
def telemetry_disk(tmp_path: Path) -> Iterator[Disk]:
    """For messages alone."""
    yield from small_disk(tmp_path / "service" / "data" / "telemetry")


def small_disk(path: Path) -> Iterator[Disk]:
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=700", "none", str(path)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command for a small disk of the test's own")
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", str(path)], check=True)


@dataclass
class Site:
    """A service with one group of symmetric keys for each authority, and what its devices were told."""

    running: RunningService
    folder: Path
    masters: dict[str, str] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    _keys: dict[str, DeviceKey] = field(default_factory=dict)

    def enroll(self, authority: str) -> None:
        body = {
            "enrollmentGroupId": f"{authority}-line",
            **KEY,
            "clientCertificateIssuancePolicy": {"certificateAuthorityName": authority},
        }
        group = self.running.put(f"/enrollmentGroups/{authority}-line", body)
        self.masters[authority] = group["attestation"]["symmetricKey"]["primaryKey"]

    def register(self, name: str, authority: str = "builtin") -> Answer:
        """One register call of a device with a key of its own; a certificate that it is answered is kept."""
        key = derived_key(self.masters[authority], name)
        with DpsDevice(self.running, name, key=key) as device:
            answer = device.registers(clientCertificateCsr=self.key(name).csr())
        self._keep(name, answer)
        return answer

    def poll(self, name: str, operation_id: str, authority: str) -> Answer:
        with DpsDevice(self.running, name, key=derived_key(self.masters[authority], name)) as device:
            answer = device.polls(operation_id)
        self._keep(name, answer)
        return answer

    def key(self, name: str) -> DeviceKey:
        """Made once: a device that asks again asks for the same key."""
        known = self._keys.get(name)
        if known is None:
            known = self._keys[name] = DeviceKey(name, self.folder)
        return known

    def _keep(self, name: str, answer: Answer) -> None:
        if answer.status == 200 and answer.document["status"] == "assigned":
            chain = answer.state["issuedClientCertificate"]
            self.answered[name] = chain
            self.key(name).write(chain)

    def hub_device(self, name: str) -> HubDevice:
        key = self.key(name)
        return HubDevice(self.running, name, certificate=(key.write(self.answered[name]), key.file))

    def send(self, name: str, body: str) -> bool:
        """Send one message on a connection of its own; whether it was acknowledged."""
        with self.hub_device(name) as device:
            assert device.code == 0
            packet_id = device.next_packet_id()
            topic = topics.format_telemetry(topics.TelemetryTopic(name))
            device.say(mqtt.Publish(topic, body.encode(), 1, packet_id))
            heard = device.hears()
        assert heard in {None, mqtt.PubAck(packet_id)}
        if heard is not None:
            self.acknowledged.append(body)
        return heard is not None

    def check_nothing_said_is_lost(self) -> None:
        listed = {row["registrationId"]: _leaf(row["certificate"]) for row in self.running.certificates()}
        assert {name: listed.get(name) for name in self.answered} == {
            name: _leaf(chain) for name, chain in self.answered.items()
        }
        received = [str(row["body"]) for row in self.running.rows("hub", "telemetry")]
        assert [body for body in self.acknowledged if body not in received] == []
        self.running.cli("log", "verify")

    def check_log(self, most_errors: int) -> None:
        """Trouble of the disk is told in lines, at most one for each thing that failed, and never as a bug."""
        assert "Traceback" not in self.running.log_text()
        lines = self.running.log_lines()
        assert [line for line in lines if "exception" in line] == []
        assert len([line for line in lines if line["level"] in {"error", "warning"}]) <= most_errors


def _leaf(chain: str) -> str:
    return chain[: chain.index("-----END CERTIFICATE-----")]


@contextmanager
def site(folder: Path, **environment: str) -> Iterator[Site]:
    service = RunningService(folder / "service", environment=environment)
    with service as running:
        one = Site(running, folder / "devices")
        one.enroll("builtin")
        yield one


def until(holds: Callable[[], bool], within_s: float = RECOVERS_WITHIN_S) -> None:
    """Ask until it holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not recover by itself"
        time.sleep(0.1)


def refused_after(tries: Iterator[Answer]) -> tuple[int, Answer]:
    """How many calls still succeeded in space that was there already, and the first that did not."""
    for number, answer in enumerate(tries):
        if answer.status != 200:
            return number, answer
    raise AssertionError("the disk never became full")


def says_come_back(answer: Answer) -> bool:
    return (answer.status, answer.error_code) == (503, STORE_UNAVAILABLE) and bool(answer.retry_after_s)


def test_a_full_disk_refuses_what_it_can_not_keep_and_recovers(disk: Disk, tmp_path: Path) -> None:
    with site(tmp_path) as one:
        pid = one.running.process
        assert one.register("early").status == 200
        assert one.send("early", "before")
        disk.fill()
        tries = (one.register(f"device-{number}") for number in range(MOST_TRIES))
        count, refusal = refused_after(tries)
        assert says_come_back(refusal), refusal
        refused_name = f"device-{count}"
        assert says_come_back(one.register(refused_name))
        assert not _all_acknowledged(one, "early")
        with pytest.raises(Problem, match=str(STORE_UNAVAILABLE)):
            one.running.put("/enrollments/another", {"registrationId": "another", **KEY})
        # What only reads goes on.
        assert refused_name not in {row["registrationId"] for row in one.running.certificates()}

        disk.free()
        until(lambda: one.register(refused_name).status == 200)
        until(lambda: one.send("early", "after"))
        assert one.running.process is pid
        one.check_nothing_said_is_lost()
        one.check_log(most_errors=30)
        one.running.kill()
        one.running.start()
        one.check_nothing_said_is_lost()


def _all_acknowledged(one: Site, name: str) -> bool:
    return all(one.send(name, f"{number}:" + "x" * 60_000) for number in range(SIZE_MIB * 20))


def test_a_start_on_a_full_disk_is_refused_in_one_sentence(disk: Disk, tmp_path: Path) -> None:
    with site(tmp_path) as one:
        assert one.register("early").status == 200
        one.running.stop()
        disk.fill()
        already_said = len(one.running.log_text())
        with pytest.raises(AssertionError, match="did not start"):
            one.running.start()
        assert one.running.process is not None
        assert one.running.process.returncode == 1
        said = [line for line in one.running.log_text()[already_said:].splitlines() if line]
        sentences = [line for line in said if not line.startswith("{")]
        assert len(sentences) == 1, sentences
        # Which of its files is met first depends on what the last page of the disk holds.
        assert str(one.running.data) in sentences[0]
        assert "can't be used" in sentences[0]
        disk.free()
        one.running.start()
        one.check_nothing_said_is_lost()


def test_what_a_ca_signed_while_the_disk_was_full_is_found_again(disk: Disk, tmp_path: Path) -> None:
    with (
        DigiCertProcess(tmp_path) as digicert,
        site(tmp_path, ACCREDIT_DIGICERT_URL=digicert.url, ACCREDIT_PATIENCE_MS="100") as one,
    ):
        one.running.put("/certificateAuthorities/outside", digicert.authority)
        one.enroll("outside")
        digicert.hold()
        assigning = one.register("ordered", "outside")
        assert assigning.status == 202
        until(lambda: len(digicert.signed("ordered")) == 1)
        disk.fill()
        count, refusal = refused_after(one.register(f"device-{number}") for number in range(MOST_TRIES))
        assert says_come_back(refusal), refusal
        digicert.answer()
        one.running.logs("store-unavailable", operationId=assigning.document["operationId"])

        disk.free()
        operation_id = assigning.document["operationId"]
        until(lambda: one.poll("ordered", operation_id, "outside").status == 200)
        assert one.answered["ordered"].startswith(digicert.signed("ordered")[0]["pem"])
        assert len(digicert.signed("ordered")) == 1
        one.check_nothing_said_is_lost()
        one.check_log(most_errors=30)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database as a stray tool would."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def test_a_locked_database_is_answered_and_waited_out(tmp_path: Path) -> None:
    with site(tmp_path) as one:
        assert one.register("early").status == 200
        with locked(one.running.data / "accredit.db"):
            refusal = one.register("late")
            assert says_come_back(refusal), refusal
            # What only reads goes on.
            assert one.running.certificates("early")
        until(lambda: one.register("late").status == 200)
        one.check_nothing_said_is_lost()
        one.check_log(most_errors=4)


def test_telemetry_without_room_is_not_acknowledged_and_provisioning_goes_on(
    telemetry_disk: Disk, tmp_path: Path
) -> None:
    with site(tmp_path) as one:
        assert one.register("sender").status == 200
        assert one.send("sender", "before")
        telemetry_disk.fill()
        # What a page has left is given to one message more, perhaps.
        until(lambda: not one.send("sender", "x" * 200))
        assert one.register("late").status == 200
        telemetry_disk.free()
        until(lambda: one.send("sender", "afterwards"))
        assert {"before", "afterwards"} <= set(_bodies(one.running))
        one.check_nothing_said_is_lost()


def _bodies(running: RunningService) -> list[Any]:
    return [row["body"] for row in running.rows("hub", "telemetry")]
