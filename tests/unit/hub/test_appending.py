"""One connection's messages: order, acknowledgement after durability, bounds, trouble. Over the real log."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub.appending import Appending, InFlight
from accredit.hub.telemetry import SqliteTelemetry
from accredit.hub.telemetry_file import TelemetryReader
from support.hand_clock import HandClock


def message(body: bytes = b"x") -> Telemetry:
    return Telemetry(DeviceId("lamp-1"), body, {}, {}, "{}", HandClock().now())


class Device:
    """The far end: what was acknowledged, and why the connection failed."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.failures: list[str] = []

    def acknowledge(self, number: int) -> None:
        self.acknowledged.append(number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


@pytest.fixture
async def telemetry(path: Path) -> AsyncIterator[SqliteTelemetry]:
    telemetry = SqliteTelemetry(path, HandClock(), busy_timeout_s=0)
    yield telemetry
    await telemetry.close()


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight()


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def appending(telemetry: SqliteTelemetry, in_flight: InFlight, device: Device) -> Appending:
    return Appending(telemetry, in_flight, device.failures.append, max_messages=1_000, max_bytes=100_000)


async def test_messages_are_acknowledged_in_order_and_are_durable_by_then(
    path: Path, appending: Appending, in_flight: InFlight
) -> None:
    reader = TelemetryReader(path)
    acknowledged: list[int] = []

    def acknowledge(number: int) -> None:
        acknowledged.append(number)
        stored = [body.body for _, body in reader.read(None, 0, 1_000)]
        assert b"%d" % number in stored

    for number in range(50):
        appending.take(message(b"%d" % number), lambda number=number: acknowledge(number))
    await in_flight.drained()
    assert acknowledged == list(range(50))
    assert [body.body for _, body in reader.read(None, 0, 1_000)] == [b"%d" % n for n in range(50)]
    assert in_flight.bytes == 0
    reader.close()


async def test_nothing_is_acknowledged_while_the_disk_keeps_us_waiting(
    tmp_path: Path, in_flight: InFlight, device: Device
) -> None:
    path = tmp_path / "slow.db"
    telemetry = SqliteTelemetry(path, HandClock(), busy_timeout_s=30)
    appending = Appending(telemetry, in_flight, device.failures.append)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(3):
        appending.take(message(), lambda number=number: device.acknowledge(number))
    for _ in range(20):
        await asyncio.sleep(0)
    assert device.acknowledged == []
    assert in_flight.bytes > 0
    other.execute("ROLLBACK")
    other.close()
    await in_flight.drained()
    assert device.acknowledged == [0, 1, 2]
    assert device.failures == []
    await telemetry.close()


async def test_messages_without_acknowledgement_are_stored_too(
    telemetry: SqliteTelemetry, appending: Appending, in_flight: InFlight
) -> None:
    appending.take(message(b"qos 0"), None)
    await in_flight.drained()
    assert [read.body for _, read in await telemetry.read(None, 0, 10)] == [b"qos 0"]


async def test_a_write_that_fails_ends_it_once_without_an_acknowledgement(
    path: Path, telemetry: SqliteTelemetry, appending: Appending, in_flight: InFlight, device: Device
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(3):
        appending.take(message(), lambda number=number: device.acknowledge(number))
    await in_flight.drained()
    other.execute("ROLLBACK")
    other.close()
    assert len(device.failures) == 1
    assert "locked" in device.failures[0]
    appending.take(message(), lambda: device.acknowledge(99))
    await in_flight.drained()
    assert device.acknowledged == []
    assert in_flight.bytes == 0
    assert await telemetry.read(None, 0, 10) == []


async def test_a_topic_full_of_tiny_properties_counts_for_the_memory_it_takes(
    telemetry: SqliteTelemetry, in_flight: InFlight, device: Device
) -> None:
    appending = Appending(telemetry, in_flight, device.failures.append, max_bytes=100_000)
    crowded = Telemetry(
        DeviceId("lamp-1"), b"", {f"{n:x}": "" for n in range(1_000)}, {}, "{}", HandClock().now()
    )
    appending.take(crowded, None)
    assert device.failures == ["the device sends faster than its messages can be stored"]
    await in_flight.drained()
    assert in_flight.bytes == 0


async def test_a_closed_log_fails_it(
    telemetry: SqliteTelemetry, appending: Appending, in_flight: InFlight, device: Device
) -> None:
    await telemetry.close()
    appending.take(message(), lambda: device.acknowledge(0))
    await in_flight.drained()
    assert device.failures == ["telemetry is closed"]
    assert device.acknowledged == []


async def test_more_messages_than_may_wait_end_the_connection(
    telemetry: SqliteTelemetry, in_flight: InFlight, device: Device
) -> None:
    appending = Appending(telemetry, in_flight, device.failures.append, max_messages=2)
    for _ in range(4):
        appending.take(message(), None)
    assert device.failures == ["the device sends faster than its messages can be stored"]
    assert in_flight.bytes == 0
    await in_flight.drained()


async def test_more_bytes_than_may_wait_end_the_connection(
    telemetry: SqliteTelemetry, appending: Appending, in_flight: InFlight, device: Device
) -> None:
    appending.take(message(bytes(90_000)), None)
    assert device.failures == []
    appending.take(message(bytes(20_000)), None)
    assert len(device.failures) == 1
    await in_flight.drained()


async def test_what_all_connections_hold_together_is_bounded(
    telemetry: SqliteTelemetry, in_flight: InFlight, device: Device
) -> None:
    in_flight.max_bytes = 10_000
    hog = Appending(telemetry, in_flight, device.failures.append)
    hog.take(message(bytes(8_000)), lambda: device.acknowledge(1))
    unlucky = Appending(telemetry, in_flight, device.failures.append)
    unlucky.take(message(bytes(2_000)), None)
    assert device.failures == ["the hub holds as many messages in memory as it may"]
    await in_flight.drained()
    assert device.acknowledged == [1], "the other connection goes on"
    assert in_flight.bytes == 0


async def test_when_empty_calls_at_once_when_nothing_is_on_its_way(appending: Appending) -> None:
    called: list[bool] = []
    appending.when_empty(lambda: called.append(True))
    assert called == [True]


async def test_when_empty_calls_after_the_last_acknowledgement(
    appending: Appending, in_flight: InFlight, device: Device
) -> None:
    appending.take(message(), lambda: device.acknowledge(1))
    appending.when_empty(lambda: device.acknowledge(2))
    assert device.acknowledged == []
    await in_flight.drained()
    assert device.acknowledged == [1, 2]
