"""The telemetry stream on a real JetStream: what `interfaces.TelemetryLog` promises, from several processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from nats.js.api import ConsumerConfig

from accredit.buses.nats import NatsLink
from accredit.buses.telemetry import StreamTelemetry, stream_name, subject
from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.interfaces import StoreUnavailable
from support.ca_servers import free_port
from support.logs import capture_logs
from support.nats_server import NatsServer

_scopes = (f"0ne{number}" for number in count())


@asynccontextmanager
async def opened(
    url: str, scope: str, patience_s: float = 10
) -> AsyncIterator[tuple[NatsLink, StreamTelemetry]]:
    link = NatsLink(url)
    await link.start(patience_s)
    telemetry = StreamTelemetry(link, scope, max_age_s=100, max_bytes=1 << 24)
    try:
        yield link, telemetry
    finally:
        await telemetry.close()
        await link.close()


@pytest.fixture
def scope() -> str:
    return next(_scopes)


@pytest.fixture
async def telemetry(nats: NatsServer, scope: str) -> AsyncIterator[StreamTelemetry]:
    async with opened(nats.url, scope) as (_, made):
        yield made


def message(body: bytes = b"x", device: str = "lamp.1", hub: str = "hub.example") -> Telemetry:
    return Telemetry(
        DeviceId(device), body, {"größe": "a\nb", "n": ""}, {"iothub-x": "y"}, '{"scope":"device"}', 1.5, hub
    )


async def test_what_was_appended_is_read_as_it_was(telemetry: StreamTelemetry) -> None:
    sent = message(bytes(range(256)) * 1_000)
    first = await telemetry.append([sent])
    second = await telemetry.append([message(b"", "a*b>c d")])
    assert second > first
    assert await telemetry.read(None, 0, 10) == [(first, sent), (second, message(b"", "a*b>c d"))]
    assert await telemetry.read(None, second, 10) == []
    assert await telemetry.read(DeviceId("nobody"), 0, 10) == []
    more = [message(b"%d" % n) for n in range(100)]
    assert await telemetry.append(more) == second + 100
    found: list[Telemetry] = []
    while rows := await telemetry.read(None, second + len(found), 60):
        found += [read for _, read in rows]
    assert found == more


async def test_pages_of_one_device_and_of_one_hub(telemetry: StreamTelemetry) -> None:
    for n in range(12):
        await telemetry.append([message(b"%d" % n, f"lamp-{n % 2}", f"hub-{n % 3}")])

    async def bodies(**asked: object) -> list[bytes]:
        found, after = [], 0
        while rows := await telemetry.read(asked.get("device"), after, 5, asked.get("hub")):
            found += [read.body for _, read in rows]
            after = rows[-1][0]
        return found

    assert await bodies() == [b"%d" % n for n in range(12)]
    assert await bodies(device=DeviceId("lamp-1")) == [b"%d" % n for n in range(1, 12, 2)]
    assert await bodies(hub=("hub-2", "HUB")) == [b"2", b"5", b"8", b"11"]
    assert await bodies(device=DeviceId("lamp-0"), hub=("hub-1", "")) == [b"4", b"10"]


async def test_what_one_process_appends_another_hears_of(nats: NatsServer, scope: str) -> None:
    async with opened(nats.url, scope) as (_, here), opened(nats.url, scope) as (_, there):
        first = await here.append([message(b"1")])
        assert await there.arrival(0) == first
        arriving = asyncio.create_task(there.arrival(first))
        second = await here.append([message(b"2")])
        assert await arriving == second
        numbers = await asyncio.gather(*(log.append([message()]) for log in (here, there) * 20))
        assert sorted(numbers) == list(range(second + 1, second + 41))


async def test_what_was_acknowledged_survives_a_kill_of_the_server(nats: NatsServer, scope: str) -> None:
    async with opened(nats.url, scope) as (link, telemetry):
        number = await telemetry.append([message(b"kept")])
        nats.kill()
        while link.is_up:
            await asyncio.sleep(0.02)
        for refused in (telemetry.append([message()]), telemetry.read(None, 0, 1), telemetry.arrival(0)):
            with pytest.raises(StoreUnavailable):
                await refused
        nats.start()
        while not link.is_up:
            await asyncio.sleep(0.02)
        assert await telemetry.read(None, 0, 10) == [(number, message(b"kept"))]
        assert await telemetry.append([message(b"more")]) == number + 1


async def test_a_group_shares_the_messages_and_another_has_them_all(nats: NatsServer, scope: str) -> None:
    async with opened(nats.url, scope) as (link, telemetry):
        sent = [b"%d" % n for n in range(10)]
        for body in sent:
            await telemetry.append([message(body)])
        stream = link.client.jetstream()
        for group in ("billing", "alarms"):
            await stream.add_consumer(
                stream_name(scope), ConsumerConfig(durable_name=group, ack_policy="explicit")
            )

        async def taken(group: str, most: int) -> list[bytes]:
            member = await stream.pull_subscribe_bind(group, stream_name(scope))
            found = await member.fetch(most, timeout=60)
            for each in found:
                await each.ack()
            return [each.data for each in found]

        assert await taken("billing", 4) + await taken("billing", 6) == sent
        assert await taken("alarms", 10) == sent


async def test_other_limits_hold_from_the_next_start_on(nats: NatsServer, scope: str) -> None:
    async with opened(nats.url, scope) as (link, telemetry):
        await telemetry.append([message(b"kept")])
        again = StreamTelemetry(link, scope, max_age_s=200, max_bytes=1 << 25)
        assert len(await again.read(None, 0, 10)) == 1
        config = (await link.client.jetstream().stream_info(stream_name(scope))).config
        assert (config.max_age, config.max_bytes) == (200, 1 << 25)


async def test_nothing_is_taken_while_the_server_was_never_there() -> None:
    async with opened(f"nats://127.0.0.1:{free_port()}", "0ne", patience_s=0.1) as (_, telemetry):
        with pytest.raises(StoreUnavailable):
            await telemetry.append([message()])


async def test_a_stream_that_can_t_be_made_is_told_at_the_start(nats: NatsServer, scope: str) -> None:
    async with opened(nats.url, scope) as (link, _):
        with capture_logs() as lines:
            await StreamTelemetry(link, scope, max_age_s=100, max_bytes=1 << 24, replicas=3).begin()
        (line,) = lines
        assert line["event"] == "telemetry-unavailable"
        assert "replicas" in line["reason"]


def test_every_name_is_one_token() -> None:
    assert subject("0ne1", "a.b", "x>y *") == "accredit.0ne1.telemetry.a%2Eb.x%3Ey%20%2A"
    assert subject("0ne1", "", "x") == "accredit.0ne1.telemetry.-.x"
