"""Two workers on one machine: one data folder, one set of ports, and a parent that keeps them alive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import nats_server
from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_individual
from support.nodes import LEASE_S
from support.postgres_server import PostgresServer
from support.raw_device import Answer, DpsDevice
from support.running_service import RunningService

ENDS_WITHIN_S = 120


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, digicert: DigiCertProcess
) -> Iterator[RunningService]:
    with nats_server.running(tmp_path_factory.mktemp("nats")) as nats:
        running = RunningService(
            tmp_path_factory.mktemp("workers"),
            arguments=["--workers", "2"],
            environment={
                "ACCREDIT_DATABASE_URL": postgres.emptied(),
                "ACCREDIT_NATS_URL": nats.url,
                "ACCREDIT_DIGICERT_URL": digicert.url,
                "ACCREDIT_PATIENCE_MS": "400",
                "ACCREDIT_LEASE_S": str(LEASE_S),
            },
        )
        with running:
            running.put("/certificateAuthorities/myca1", digicert.authority)
            yield running
        assert "Traceback" not in running.log_text()


@pytest.fixture
def two(service: RunningService) -> RunningService:
    """Both are up."""
    until(lambda: len(workers(service)) == 2)
    return service


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers(service: RunningService) -> list[int]:
    """The process ids, once as many are ready as there are."""
    assert service.process is not None
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    started = len(service.log_lines("started"))
    died = len(service.log_lines("worker-died"))
    return [int(pid) for pid in children] if started - died >= len(children) else []


def registers(service: RunningService, key: DeviceKey, secret: str) -> Answer:
    with DpsDevice(service, key.registration_id, key=secret) as device:
        return device.registers(clientCertificateCsr=key.csr())


def test_they_share_the_ports_and_the_folder(two: RunningService, key: DeviceKey) -> None:
    secret = symmetric_individual(two, key.registration_id, **issuing())
    answers = [registers(two, key, secret) for _ in range(20)]
    assert {answer.document["status"] for answer in answers} == {"assigned"}
    assert len({answer.state["issuedClientCertificate"] for answer in answers}) == 1
    assert two.info()["idScope"] == two.id_scope
    second = RunningService(two.folder)
    with pytest.raises(AssertionError, match="Another accredit service runs on"):
        second.start()


def test_what_a_killed_worker_had_begun_another_finishes(
    two: RunningService, digicert: DigiCertProcess, key: DeviceKey
) -> None:
    secret = symmetric_individual(two, key.registration_id, **issuing("myca1"))
    before = workers(two)
    digicert.hold()
    try:
        begun = registers(two, key, secret)
        assert begun.status == 202
        until(lambda: digicert.signed(key.registration_id))
        for pid in before:
            os.kill(pid, signal.SIGKILL)
    finally:
        digicert.answer()
    until(lambda: len(set(workers(two)) - set(before)) == 2)
    until(lambda: len(two.log_lines("worker-died")) == 2)
    deadline = time.monotonic() + ENDS_WITHIN_S
    with DpsDevice(two, key.registration_id, key=secret) as device:
        while (answer := device.polls(begun.document["operationId"])).document["status"] == "assigning":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert answer.document["status"] == "assigned"
    assert len(digicert.signed(key.registration_id)) == 1


def test_they_stop_with_their_parent_and_when_it_dies(two: RunningService) -> None:
    of_the_first = workers(two)
    assert two.stop() == 0
    assert not any(map(_lives, of_the_first))
    two.start()
    until(lambda: len(workers(two)) == 2)
    orphans = workers(two)
    two.kill()
    until(lambda: not any(map(_lives, orphans)))
    two.start()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
