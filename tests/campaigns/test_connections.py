"""Many connections: held for long without growth, back all at once after a restart, and beside peers that never finish.

The short forms see that nobody is lost and that memory is bounded by what was asked; the long ones do it at the size of a fleet.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accredit.wire import dps, topics
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.mqtt_peer import Lost, MqttPeer, Service, Unanswered
from support.running_service import RunningService

ROOT = Path(__file__).parents[2]
MIB = 1_048_576
FILES_FOR_ITSELF = 600


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Held:
    connections: int
    hold_s: int
    grown_kib: float
    """That each may grow by: in few connections the process's own memory is seen as well."""


def _most() -> int:
    """How many connections a process may have here, where the system sets a limit that not even root may raise."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 20_000 if hard == resource.RLIM_INFINITY else hard - FILES_FOR_ITSELF


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(Held(100, 1, 64.0), id="short"),
        pytest.param(
            Held(20_000, 3_600, 1.0), id="long", marks=[pytest.mark.campaign, pytest.mark.timeout(7_200)]
        ),
    ],
)
def test_silent_devices_are_held_without_growth(held: Held, tell: Callable[[str], None]) -> None:
    connections = min(held.connections, _most())
    command = ["--connections", str(connections), "--hold-s", str(held.hold_s), "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.idle", *command],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": "tests"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    tell(f"{connections} held for {held.hold_s} s: {found}")
    assert found["grown_kib"] < held.grown_kib


@dataclass(frozen=True)
class Storm:
    devices: int
    idle_peers: int
    most_mib: int
    """That the service may need beyond what it had: a handshake under way takes tens of KiB."""


@pytest.mark.parametrize(
    "storm",
    [
        pytest.param(Storm(60, 40, 96), id="short"),
        pytest.param(
            Storm(5_000, 2_000, 512), id="long", marks=[pytest.mark.campaign, pytest.mark.timeout(3_600)]
        ),
    ],
)
async def test_a_fleet_that_comes_back_at_once_is_served(
    tmp_path: Path, storm: Storm, tell: Callable[[str], None]
) -> None:
    """All devices connect to the restarted hub in the same moment, beside peers that begin a handshake and say no more."""
    with RunningService(tmp_path) as running:
        service = Service(running.host, running.mqtt_port, running.id_scope, running.trust_root)
        master = symmetric_group(running, "storm", **issuing())
        fleet = [
            Returning(DeviceKey(f"storm-{number}", tmp_path / "keys"), service)
            for number in range(storm.devices)
        ]
        turns = asyncio.Semaphore(64)
        await asyncio.gather(*(each.registers(master, turns) for each in fleet))
        await asyncio.to_thread(running.stop)
        await asyncio.to_thread(running.start)
        assert running.process is not None
        before = resident_bytes(running.process.pid)
        with _stalled(service, storm.idle_peers):
            tries = await asyncio.gather(*(each.comes_back() for each in fleet))
            grown = resident_bytes(running.process.pid) - before
        tell(f"{storm.devices} came back in {sum(tries)} tries, {grown / MIB:.0f} MiB more")
        assert grown < storm.most_mib * MIB
    # Every line is written once it has stopped.
    assert len(running.log_lines("hub-connected")) == storm.devices
    assert "Traceback" not in running.log_text()


class Returning:
    """A device with a certificate that wants to be at the hub."""

    def __init__(self, key: DeviceKey, service: Service) -> None:
        self._key = key
        self._service = service
        self._certificate: tuple[Path, Path] | None = None

    async def registers(self, master: str, turns: asyncio.Semaphore) -> None:
        name = self._key.registration_id
        async with turns, await MqttPeer(self._service).open() as peer:
            await peer.joins_dps(name, derived_key(master, name))
            told = await peer.asks(
                topics.Register("1"), dps.register_body(name, dps.CLIENT_CERTIFICATE_CSR, self._key.csr())
            )
        state: Any = told.document.registration_state
        self._certificate = (self._key.write(state["issuedClientCertificate"]), self._key.file)

    async def comes_back(self) -> int:
        """How many tries it took, at half a second's distance, as devices do at least."""
        for tries in range(1, 200):
            try:
                async with await MqttPeer(self._service).open(self._certificate) as peer:
                    if await peer.joins_hub(self._key.registration_id) == 0:
                        return tries
            except (Lost, Unanswered):
                pass
            await asyncio.sleep(0.5)
        raise AssertionError(f"{self._key.registration_id} did not come back")


@contextmanager
def _stalled(service: Service, count: int) -> Iterator[None]:
    """Peers that send the first half of a ClientHello's header, and nothing more."""
    with ExitStack() as peers:
        for number in range(count):
            source = f"127.97.{number // 250 % 250}.{number % 250 + 1}"
            peer = peers.enter_context(
                socket.create_connection((service.host, service.port), source_address=(source, 0))
            )
            peer.sendall(b"\x16\x03\x01")
        yield
