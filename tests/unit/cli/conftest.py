"""A real service that the commands speak to, and the commands in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from support.command import Ran, command
from support.device_key import DeviceKey, derived_key
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_group
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService

_numbers = count(1)


@pytest.fixture(scope="session")
def digicert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigiCertProcess]:
    with DigiCertProcess(tmp_path_factory.mktemp("digicert")) as process:
        yield process


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, digicert: DigiCertProcess) -> Iterator[RunningService]:
    with RunningService(
        tmp_path_factory.mktemp("cli"), environment={"ACCREDIT_DIGICERT_URL": digicert.url}
    ) as running:
        yield running
    assert "Traceback" not in running.log_text()


@pytest.fixture
def run(service: RunningService) -> Callable[..., Ran]:
    """Run a command against the service's data folder."""

    def against(*arguments: str, given: str = "") -> Ran:
        return command(*arguments, "--data-dir", str(service.data), given=given)

    return against


@pytest.fixture
def name() -> str:
    """An id that no other test has."""
    return f"thing-{next(_numbers)}"


@pytest.fixture
def lamp(service: RunningService, name: str, tmp_path: Path) -> DeviceKey:
    """A device of the group `of-{name}` that has its certificate and has used it."""
    key = DeviceKey(name, tmp_path)
    master = symmetric_group(service, f"of-{name}", **issuing())
    with DpsDevice(service, name, key=derived_key(master, name)) as device:
        answer = device.registers(clientCertificateCsr=key.csr())
    certificate = key.write(answer.state["issuedClientCertificate"])
    with HubDevice(service, name, certificate=(certificate, key.file)) as device:
        device.sends(b'{"on": true}')
    return key
