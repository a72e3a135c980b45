"""Kill the service while orders are under way at an outside CA: the next start ends each, and buys none twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.device_key import DeviceKey, derived_key
from support.digicert_process import DigiCertProcess
from support.raw_device import Answer, DpsDevice
from support.running_service import RunningService

HELD_S = 600.0
"""The CA holds its answers for longer than the service lives."""

WITHIN_S = 120.0

SIGNED = ("drop-after", "error-500", "wrong-order", "garbage")
UNSIGNED = ("drop-before", "throttle-bare")


def until(holds: Callable[[], bool]) -> None:
    """Ask until it holds."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to its end"
        time.sleep(0.1)


@dataclass
class Line:
    """A service with one group of devices, whose authority is the fake DigiCert."""

    running: RunningService
    digicert: DigiCertProcess
    ledger: Path
    folder: Path
    master: str = ""
    keys: dict[str, DeviceKey] = field(default_factory=dict)

    def enroll(self) -> None:
        self.running.put("/certificateAuthorities/outside", self.digicert.authority)
        body = {
            "enrollmentGroupId": "line",
            "attestation": {"type": "symmetricKey"},
            "clientCertificateIssuancePolicy": {"certificateAuthorityName": "outside"},
        }
        group = self.running.put("/enrollmentGroups/line", body)
        self.master = group["attestation"]["symmetricKey"]["primaryKey"]

    def device(self, name: str) -> DpsDevice:
        return DpsDevice(self.running, name, key=derived_key(self.master, name))

    def orders(self, name: str, csr: str | None = None) -> str:
        """Register; the id of the operation that this opens."""
        if csr is None:
            self.keys[name] = DeviceKey(name, self.folder)
            csr = self.keys[name].csr()
        with self.device(name) as device:
            answer = device.registers(clientCertificateCsr=csr)
        assert answer.status == 202, answer
        return str(answer.document["operationId"])

    def ends(self, name: str, operation_id: str) -> Answer:
        """Poll until the operation has ended."""
        answers: list[Answer] = []

        def ended() -> bool:
            with self.device(name) as device:
                answers.append(device.polls(operation_id))
            return answers[-1].status == 200

        until(ended)
        return answers[-1]

    def dies_and_comes_back(self) -> int:
        """How many operations the new start took up."""
        self.running.kill()
        self.digicert.misbehaves(delay_s=0)
        starts = len(self.running.log_lines("started"))
        self.running.start()
        until(lambda: len(self.running.log_lines("started")) > starts)
        return int(self.running.log_lines("started")[-1]["resumedOperations"])

    def signed(self) -> list[dict[str, Any]]:
        if not self.ledger.exists():
            return []
        return [json.loads(line) for line in self.ledger.read_text().splitlines()]

    def doubts(self) -> list[str]:
        """The CSRs of the entries `unknown`."""
        leaves = self.running.client().rows("GET", "/issuanceLog/leaves")
        return [leaf["sha256"] for leaf in leaves if leaf["kind"] == "unknown"]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with DigiCertProcess(tmp_path) as digicert:
        environment = {"ACCREDIT_DIGICERT_URL": digicert.url, "ACCREDIT_PATIENCE_MS": "50"}
        with RunningService(tmp_path / "service", environment=environment) as running:
            one = Line(running, digicert, tmp_path / "ledger.jsonl", tmp_path / "devices")
            one.enroll()
            yield one
        assert "Traceback" not in running.log_text()


def _sha256(csr: str) -> str:
    return sha256(x509.load_pem_x509_csr(csr.encode()).public_bytes(Encoding.DER)).hexdigest()


def test_every_order_under_way_is_ended_by_the_next_start(line: Line) -> None:
    faults = SIGNED + UNSIGNED
    line.digicert.misbehaves(*faults, delay_s=HELD_S)
    operations, csrs = {}, {}
    for number in range(len(faults)):
        name = f"device-{number}"
        key = line.keys[name] = DeviceKey(name, line.folder)
        csrs[name] = key.csr()
        operations[name] = line.orders(name, csrs[name])
        # One by one, so that it is known which device met which fault.
        signed_by_now = min(number + 1, len(SIGNED))
        until(lambda count=signed_by_now: len(line.signed()) == count)
    assert line.dies_and_comes_back() == len(faults)
    ended = {name: line.ends(name, operations[name]) for name in operations}

    assert {answer.document["status"] for answer in ended.values()} == {"assigned"}
    signed = {entry["commonName"]: entry for entry in line.signed()}
    assert len(line.signed()) == len(signed) == len(faults)
    for name, answer in ended.items():
        assert answer.state["issuedClientCertificate"].startswith(signed[name]["pem"])
    # Where nothing was signed, the new start could not know that.
    unsigned = [f"device-{number}" for number in range(len(SIGNED), len(faults))]
    assert set(line.doubts()) <= {_sha256(csrs[name]) for name in unsigned}
    line.running.cli("log", "verify")


def test_an_order_that_waits_is_taken_up_again(line: Line) -> None:
    """Throttled for longer than the service lives: nothing was signed, and nothing is in doubt."""
    line.digicert.misbehaves("throttle-seconds", "throttle-seconds", delay_s=0)
    operations = {name: line.orders(name) for name in ("device-1", "device-2")}
    until(lambda: len(line.running.log_lines("ca-deferred")) == 2)
    assert line.dies_and_comes_back() == 2
    for name, operation_id in operations.items():
        assert line.ends(name, operation_id).document["status"] == "assigned"
    assert len(line.signed()) == 2
    assert line.doubts() == []


def test_a_signature_for_a_device_that_changed_its_mind_stays_on_record(line: Line) -> None:
    """The first order was signed, its answer is lost with the process, and another CSR has taken its place."""
    line.digicert.misbehaves(delay_s=HELD_S)
    first = line.orders("device-1")
    until(lambda: len(line.signed()) == 1)
    second = line.orders("device-1")
    until(lambda: len(line.signed()) == 2)
    line.dies_and_comes_back()
    assert line.ends("device-1", second).document["status"] == "assigned"
    assert line.ends("device-1", first).document["status"] == "failed"

    def on_record() -> bool:
        listed = {row["sha256"]: row["status"] for row in line.running.certificates()}
        return [listed.get(entry["sha256"]) for entry in line.signed()] == ["unbound", "pending"]

    until(on_record)
    assert len(line.signed()) == 2
    line.running.cli("log", "verify")
