"""One service for all tests that leave each other's devices alone, and one beside an outside CA."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.enrolling import symmetric_individual
from support.node_client import NodeClient
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService

_numbers = count(1)

PATIENCE_MS = 400


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The service with its built-in CA; it must not have met a defect of its own by the end."""
    with RunningService(tmp_path_factory.mktemp("service")) as running:
        yield running
    assert "Traceback" not in running.log_text()
    assert [entry for entry in running.log_lines() if entry["level"] == "error"] == []


@pytest.fixture(scope="session")
def digicert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigiCertProcess]:
    with DigiCertProcess(tmp_path_factory.mktemp("digicert")) as fake:
        yield fake


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory, digicert: DigiCertProcess) -> Iterator[RunningService]:
    """A service whose authority `myca1` is the fake DigiCert, with little patience."""
    with outside_service(tmp_path_factory.mktemp("outside"), digicert) as running:
        running.put("/certificateAuthorities/myca1", digicert.authority)
        yield running
    assert "Traceback" not in running.log_text()


@pytest.fixture(scope="session")
def node_device(service: RunningService) -> Iterator[NodeClient]:
    """Azure's Node SDKs for devices, in one process for all tests."""
    with NodeClient("device", service) as client:
        yield client


def outside_service(folder: Path, digicert: DigiCertProcess) -> RunningService:
    return RunningService(
        folder,
        environment={"ACCREDIT_DIGICERT_URL": digicert.url, "ACCREDIT_PATIENCE_MS": str(PATIENCE_MS)},
    )


@pytest.fixture(scope="module")
def neighbour(service: RunningService) -> Iterator[tuple[DpsDevice, HubDevice]]:
    """A good device that stays connected, on both sides, while others misbehave."""
    good = f"neighbour-{next(_numbers)}"
    secret = symmetric_individual(service, good)
    with DpsDevice(service, good, key=secret) as device:
        assert device.registers().status == 200
        with HubDevice(service, good, key=secret) as hub:
            yield device, hub


@pytest.fixture
def healthy(neighbour: tuple[DpsDevice, HubDevice]) -> Iterator[None]:
    """The neighbour notices nothing: what it does works before and after, on the connections it has."""
    device, hub = neighbour
    hub.sends()
    yield
    hub.sends()
    assert device.registers().status == 200


@pytest.fixture
def name() -> str:
    """A registration id that no other test has."""
    return f"device-{next(_numbers)}"


@pytest.fixture
def key(name: str, tmp_path: Path) -> DeviceKey:
    """That device's own key."""
    return DeviceKey(name, tmp_path)
