"""One connection's messages: order, acknowledgement after durability, bounds, trouble. Over the real log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub.appending import Appending, InFlight
from accredit.hub.segment_reader import SegmentReader
from accredit.hub.segments import Segments
from accredit.hub.telemetry import SegmentedTelemetry
from support.hand_clock import HandClock
from support.troubled_disk import TroubledDisk

FOREVER_S = 1e12


def message(body: bytes = b"x") -> Telemetry:
    return Telemetry(DeviceId("lamp-1"), body, {}, {}, "{}", HandClock().now())


class Device:
    """The far end: what was acknowledged, and why the connection failed."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.failures: list[str] = []

    def acknowledge(self, numbers: list[int]) -> None:
        self.acknowledged += numbers


@pytest.fixture
def disk() -> TroubledDisk:
    return TroubledDisk()


@pytest.fixture
async def telemetry(tmp_path: Path, disk: TroubledDisk) -> AsyncIterator[SegmentedTelemetry]:
    telemetry = SegmentedTelemetry(tmp_path / "telemetry", HandClock(), disk=disk)
    yield telemetry
    await telemetry.close()


@pytest.fixture
def in_flight(telemetry: SegmentedTelemetry) -> InFlight:
    return InFlight(telemetry)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def appending(in_flight: InFlight, device: Device) -> Appending[int]:
    return Appending(
        in_flight, device.acknowledge, device.failures.append, max_messages=1_000, max_bytes=100_000
    )


def on_disk(folder: Path) -> list[bytes]:
    """As another process would find it if this one were killed now."""
    segments = Segments(folder, max_age_s=FOREVER_S, max_bytes=1 << 30)
    try:
        return [found.body for _, found in SegmentReader(lambda: segments.view).read(None, 0, 1_000)]
    finally:
        segments.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


async def test_messages_are_acknowledged_in_order_and_are_durable_by_then(
    tmp_path: Path, in_flight: InFlight, device: Device
) -> None:
    def acknowledge(numbers: list[int]) -> None:
        device.acknowledge(numbers)
        assert on_disk(tmp_path / "telemetry")[numbers[0] : numbers[-1] + 1] == [b"%d" % n for n in numbers]

    appending = Appending(in_flight, acknowledge, device.failures.append)
    for number in range(50):
        appending.take(message(b"%d" % number), number)
        if number % 7 == 0:
            await asyncio.sleep(0)
    await in_flight.drained()
    assert device.acknowledged == list(range(50))
    assert on_disk(tmp_path / "telemetry") == [b"%d" % n for n in range(50)]
    assert in_flight.bytes == 0


async def test_nothing_is_acknowledged_while_the_disk_keeps_us_waiting(
    disk: TroubledDisk, appending: Appending[int], in_flight: InFlight, device: Device
) -> None:
    disk.free.clear()
    for number in range(3):
        appending.take(message(), number)
    for _ in range(20):
        await asyncio.sleep(0)
    assert device.acknowledged == []
    assert in_flight.bytes > 0
    disk.free.set()
    await in_flight.drained()
    assert device.acknowledged == [0, 1, 2]
    assert device.failures == []


async def test_what_gathers_meanwhile_shares_one_wait_for_the_disk(
    disk: TroubledDisk, in_flight: InFlight
) -> None:
    devices = [Device() for _ in range(20)]
    queues = [Appending(in_flight, each.acknowledge, each.failures.append) for each in devices]
    disk.free.clear()
    queues[0].take(message(), 0)
    await asyncio.sleep(0)
    before = disk.synced
    for number in (1, 2):
        for queue in queues:
            queue.take(message(), number)
    disk.free.set()
    await in_flight.drained()
    assert disk.synced == before + 2
    assert [each.acknowledged for each in devices] == [[0, 1, 2], *[[1, 2]] * 19]


async def test_messages_without_acknowledgement_are_stored_too(
    telemetry: SegmentedTelemetry, appending: Appending[int], in_flight: InFlight, device: Device
) -> None:
    appending.take(message(b"qos 0"), None)
    await in_flight.drained()
    assert [read.body for _, read in await telemetry.read(None, 0, 10)] == [b"qos 0"]
    assert device.acknowledged == []


async def test_a_write_that_fails_ends_it_once_without_an_acknowledgement(
    disk: TroubledDisk,
    telemetry: SegmentedTelemetry,
    appending: Appending[int],
    in_flight: InFlight,
    device: Device,
) -> None:
    disk.full = True
    for number in range(3):
        appending.take(message(), number)
    await in_flight.drained()
    disk.full = False
    assert len(device.failures) == 1
    assert "No space left" in device.failures[0]
    appending.take(message(), 99)
    await in_flight.drained()
    assert device.acknowledged == []
    assert in_flight.bytes == 0
    assert await telemetry.read(None, 0, 10) == []


async def test_after_a_failure_what_the_connection_still_had_waiting_is_dropped(
    disk: TroubledDisk,
    telemetry: SegmentedTelemetry,
    appending: Appending[int],
    in_flight: InFlight,
    device: Device,
) -> None:
    """Else a device would find its third message stored, and its second not."""
    disk.free.clear()
    appending.take(message(b"one"), 1)
    await asyncio.sleep(0)
    appending.take(message(b"two"), 2)
    other = Device()
    Appending(in_flight, other.acknowledge, other.failures.append).take(message(b"another's"), 3)
    disk.full = True
    disk.free.set()
    await until(lambda: bool(device.failures))
    disk.full = False
    await in_flight.drained()
    assert len(device.failures) == 1
    assert device.acknowledged == []
    assert b"two" not in [read.body for _, read in await telemetry.read(None, 0, 10)]
    assert in_flight.bytes == 0


async def test_a_connection_with_a_defect_does_not_keep_the_others_from_their_answers(
    in_flight: InFlight, device: Device
) -> None:
    def broken(numbers: list[int]) -> None:
        raise RuntimeError("a defect")

    Appending(in_flight, broken, device.failures.append).take(message(), 1)
    Appending(in_flight, device.acknowledge, device.failures.append).take(message(), 2)
    await in_flight.drained()
    assert device.acknowledged == [2]
    assert in_flight.bytes == 0


async def test_a_topic_full_of_tiny_properties_counts_for_the_memory_it_takes(
    in_flight: InFlight, device: Device
) -> None:
    appending = Appending(in_flight, device.acknowledge, device.failures.append, max_bytes=100_000)
    crowded = Telemetry(
        DeviceId("lamp-1"), b"", {f"{n:x}": "" for n in range(1_000)}, {}, "{}", HandClock().now()
    )
    appending.take(crowded, None)
    assert device.failures == ["the device sends faster than its messages can be stored"]
    await in_flight.drained()
    assert in_flight.bytes == 0


async def test_a_closed_log_fails_it(
    telemetry: SegmentedTelemetry, appending: Appending[int], in_flight: InFlight, device: Device
) -> None:
    await telemetry.close()
    appending.take(message(), 0)
    await in_flight.drained()
    assert device.failures == ["telemetry is closed"]
    assert device.acknowledged == []


async def test_more_messages_than_may_wait_end_the_connection(in_flight: InFlight, device: Device) -> None:
    appending = Appending(in_flight, device.acknowledge, device.failures.append, max_messages=2)
    for _ in range(4):
        appending.take(message(), None)
    assert device.failures == ["the device sends faster than its messages can be stored"]
    await in_flight.drained()
    assert in_flight.bytes == 0


async def test_more_bytes_than_may_wait_end_the_connection(
    appending: Appending[int], in_flight: InFlight, device: Device
) -> None:
    appending.take(message(bytes(90_000)), None)
    assert device.failures == []
    appending.take(message(bytes(20_000)), None)
    assert len(device.failures) == 1
    await in_flight.drained()


async def test_what_all_connections_hold_together_is_bounded(in_flight: InFlight, device: Device) -> None:
    in_flight.max_bytes = 10_000
    hog = Appending(in_flight, device.acknowledge, device.failures.append)
    hog.take(message(bytes(8_000)), 1)
    unlucky = Appending(in_flight, device.acknowledge, device.failures.append)
    unlucky.take(message(bytes(2_000)), None)
    assert device.failures == ["the hub holds as many messages in memory as it may"]
    await in_flight.drained()
    assert device.acknowledged == [1], "the other connection goes on"
    assert in_flight.bytes == 0


async def test_when_empty_calls_at_once_when_nothing_is_on_its_way(appending: Appending[int]) -> None:
    called: list[bool] = []
    appending.when_empty(lambda: called.append(True))
    assert called == [True]


async def test_when_empty_calls_after_the_last_acknowledgement(
    appending: Appending[int], in_flight: InFlight, device: Device
) -> None:
    appending.take(message(), 1)
    appending.when_empty(lambda: device.acknowledge([2]))
    assert device.acknowledged == []
    await in_flight.drained()
    assert device.acknowledged == [1, 2]
