"""The log: what `append` promises, groups, waiting for arrivals, closing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.interfaces import StoreUnavailable
from support.hand_clock import HandClock
from support.troubled_disk import TroubledDisk


def message(clock: HandClock, body: bytes = b"x", device: str = "lamp-1") -> Telemetry:
    return Telemetry(DeviceId(device), body, {}, {}, "{}", clock.now())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry"


@pytest.fixture
def disk() -> TroubledDisk:
    return TroubledDisk()


@pytest.fixture
async def telemetry(path: Path, clock: HandClock, disk: TroubledDisk) -> AsyncIterator[SegmentedTelemetry]:
    telemetry = SegmentedTelemetry(path, clock, max_age_s=100, disk=disk)
    yield telemetry
    await telemetry.close()


async def test_an_appended_message_is_in_the_file_when_append_returns(
    path: Path, telemetry: SegmentedTelemetry, clock: HandClock
) -> None:
    sent = message(clock, b"hello")
    assert await telemetry.append([sent]) == 1
    # As another process finds it after this one was killed.
    other = SegmentedTelemetry(path, clock)
    assert await other.read(None, 0, 10) == [(1, sent)]
    await other.close()


async def test_many_appends_are_numbered_in_the_order_of_their_calls(
    telemetry: SegmentedTelemetry, clock: HandClock
) -> None:
    bodies = [b"%d" % n for n in range(2_000)]
    numbers = await asyncio.gather(*(telemetry.append([message(clock, body)]) for body in bodies))
    assert numbers == list(range(1, 2_001))
    assert [read.body for _, read in await telemetry.read(None, 0, 5_000)] == bodies


async def test_messages_of_one_call_become_durable_together(
    telemetry: SegmentedTelemetry, clock: HandClock, disk: TroubledDisk
) -> None:
    before = disk.synced
    assert await telemetry.append([message(clock, b"%d" % n) for n in range(600)]) == 600
    assert disk.synced == before + 1


async def test_numbers_and_messages_survive_a_restart(
    path: Path, telemetry: SegmentedTelemetry, clock: HandClock
) -> None:
    await telemetry.append([message(clock, b"before")])
    await telemetry.close()
    again = SegmentedTelemetry(path, clock)
    assert await again.append([message(clock, b"after")]) == 2
    assert [read.body for _, read in await again.read(None, 0, 10)] == [b"before", b"after"]
    await again.close()


async def test_a_full_disk_refuses_every_append_and_the_log_goes_on(
    disk: TroubledDisk, telemetry: SegmentedTelemetry, clock: HandClock
) -> None:
    disk.full = True
    refused = await asyncio.gather(
        telemetry.append([message(clock)]), telemetry.append([message(clock)]), return_exceptions=True
    )
    assert [type(each) for each in refused] == [StoreUnavailable, StoreUnavailable]
    disk.full = False
    assert await telemetry.append([message(clock)]) == 1


async def test_old_messages_are_gone_after_a_later_append(
    telemetry: SegmentedTelemetry, clock: HandClock
) -> None:
    await telemetry.append([message(clock)])
    clock.advance(101)
    await telemetry.append([message(clock)])
    assert [sequence for sequence, _ in await telemetry.read(None, 0, 10)] == [2]


async def test_an_append_that_nobody_awaits_any_more_is_still_written(
    telemetry: SegmentedTelemetry, clock: HandClock
) -> None:
    abandoned = asyncio.ensure_future(telemetry.append([message(clock, b"abandoned")]))
    await asyncio.sleep(0)
    abandoned.cancel()
    assert await telemetry.append([message(clock, b"next")]) == 2
    assert [read.body for _, read in await telemetry.read(None, 0, 10)] == [b"abandoned", b"next"]


class TestArrival:
    """Waiting for what is newer than a sequence number."""

    async def test_it_returns_at_once_when_something_newer_is_there(
        self, telemetry: SegmentedTelemetry, clock: HandClock
    ) -> None:
        await telemetry.append([message(clock)])
        await asyncio.wait_for(telemetry.arrival(0), 30)

    async def test_it_returns_when_a_newer_message_is_durable(
        self, telemetry: SegmentedTelemetry, clock: HandClock
    ) -> None:
        await telemetry.append([message(clock)])
        waiting = [asyncio.ensure_future(telemetry.arrival(after)) for after in (1, 2)]
        await asyncio.sleep(0)
        await telemetry.append([message(clock)])
        await asyncio.wait_for(waiting[0], 30)
        assert not waiting[1].done()
        await telemetry.append([message(clock)])
        await asyncio.wait_for(waiting[1], 30)

    async def test_closing_ends_the_wait(self, telemetry: SegmentedTelemetry) -> None:
        waiting = asyncio.ensure_future(telemetry.arrival(0))
        await asyncio.sleep(0)
        await telemetry.close()
        await asyncio.wait_for(waiting, 30)

    async def test_messages_of_an_earlier_run_count(
        self, path: Path, telemetry: SegmentedTelemetry, clock: HandClock
    ) -> None:
        await telemetry.append([message(clock)])
        await telemetry.close()
        again = SegmentedTelemetry(path, clock)
        await asyncio.wait_for(again.arrival(0), 30)
        await again.close()


class TestClose:
    async def test_it_writes_what_waits(
        self, path: Path, telemetry: SegmentedTelemetry, clock: HandClock
    ) -> None:
        waiting = [asyncio.ensure_future(telemetry.append([message(clock)])) for _ in range(1_500)]
        await asyncio.sleep(0)
        await telemetry.close()
        assert await asyncio.gather(*waiting) == list(range(1, 1_501))

    async def test_afterwards_nothing_is_taken(self, telemetry: SegmentedTelemetry, clock: HandClock) -> None:
        await telemetry.close()
        await telemetry.close()
        with pytest.raises(StoreUnavailable):
            await telemetry.append([message(clock)])
        with pytest.raises(StoreUnavailable):
            await telemetry.read(None, 0, 1)
