"""Twins over a connection to a hub, packet by packet, over a real store; and the registry that changes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accredit.buses.in_process import InProcessBus
from accredit.domain.device import Reported, SaveReported
from accredit.domain.linked_hub import FIRST_HUB
from accredit.fronts.mqtt_hub import HubConversations
from accredit.fronts.mqtt_twin import MAX_WAITING, TwinService
from accredit.hub.device_twins import DesiredChanges, DeviceTwins
from accredit.hub.registry import Registry
from accredit.hub.sessions import Sessions
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.interfaces import StoreUnavailable
from accredit.wire import mqtt, topics
from accredit.wire.hub_service.twins import TwinSent
from accredit.wire.instants import iso
from accredit.wire.service_api.etags import IfMatch
from support import pki
from support.counted_entropy import CountedEntropy
from support.hub_device import HubDevice
from support.hub_world import HUB, LAMP, HubWorld, hub_world


class Troubled:
    """The store; it fails once with each of `failures`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.failures: list[Exception] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def hub_device(self, *place: Any) -> Any:
        if self.failures:
            raise self.failures.pop()
        return await self._store.hub_device(*place)


@dataclass
class Hub:
    world: HubWorld
    store: Troubled
    conversations: HubConversations
    registry: Registry

    async def connected(self, *filters: str) -> HubDevice:
        device = HubDevice(self.conversations)
        assert await device.connects(self.world.token()) == 0
        for number, each in enumerate(filters, 1):
            device.say(mqtt.Subscribe(number, ((each, 1),)))
            assert await device.hears() == mqtt.SubAck(number, (1,))
        return device

    async def changes(self, desired: dict[str, Any], *, whole: bool = False) -> None:
        await self.registry.change_twin(HUB, LAMP, TwinSent(None, desired), IfMatch(None), whole=whole)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    world = await hub_world(tmp_path)
    await world.enroll()
    telemetry = SegmentedTelemetry(tmp_path / "telemetry", world.clock)
    sessions = Sessions()
    store = Troubled(world.store)
    changes = DesiredChanges(store, InProcessBus().join())
    twins = TwinService(DeviceTwins(store, world.clock, changes), world.clock, CountedEntropy())
    conversations = HubConversations(world.identities(), sessions, telemetry, world.clock, twins=twins)
    registry = Registry(world.store, sessions, world.clock, CountedEntropy(), changes)
    yield Hub(world, store, conversations, registry)
    await conversations.close()
    await telemetry.close()
    await world.store.close()


def says(device: HubDevice, request: topics.GetTwin | topics.ReportProperties, body: bytes = b" ") -> None:
    device.say(mqtt.Publish(topics.format_twin_request(request), body, 0))


async def hears(device: HubDevice) -> tuple[topics.TwinResponse, Any]:
    packet = await device.hears()
    assert isinstance(packet, mqtt.Publish), packet
    return topics.parse_twin_response(packet.topic), json.loads(packet.payload or b"null")


async def reads(device: HubDevice) -> Any:
    says(device, topics.GetTwin("7"))
    response, document = await hears(device)
    assert response == topics.TwinResponse(200, "7")
    return document


async def reports(device: HubDevice, change: Any, base: int | None = None) -> tuple[int, int | None, Any]:
    says(device, topics.ReportProperties("8", base), json.dumps(change).encode())
    response, document = await hears(device)
    assert response.rid == "8"
    return response.status, response.version, document


class TestRead:
    async def test_a_fresh_one(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        assert await reads(device) == {"desired": {"$version": 1}, "reported": {"$version": 1}}

    async def test_what_the_registry_and_the_device_made_of_it(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        await hub.changes({"colour": "red"})
        assert await reports(device, {"lit": True}) == (204, 2, None)
        expected = {"desired": {"colour": "red", "$version": 2}, "reported": {"lit": True, "$version": 2}}
        assert await reads(device) == expected
        shown = await hub.registry.read(HUB, LAMP)
        assert shown.device.reported == Reported({"lit": True}, 2, hub.world.now)
        assert (shown.device.twin.etag, shown.device.twin.version) == (2, 4)

    async def test_when_its_certificate_is_best_renewed(self, hub: Hub) -> None:
        certificate = await hub.world.issue(not_before=pki.NOW - 300, not_after=pki.NOW + 30 * pki.DAY)
        device = HubDevice(hub.conversations, peer_chain=certificate.chain)
        assert await device.connects() == 0
        device.say(mqtt.Subscribe(1, ((topics.TWIN_RESPONSES, 0),)))
        assert await device.hears() == mqtt.SubAck(1, (0,))
        told = (await reads(device))["desired"]["certificateRenewal"]
        assert set(told) == {"renewAt", "windowOpens", "windowCloses"}
        assert iso(pki.NOW) < told["windowOpens"] <= told["renewAt"] <= told["windowCloses"]
        await hub.changes({"certificateRenewal": "the operator's own"})
        assert (await reads(device))["desired"]["certificateRenewal"] == "the operator's own"

    async def test_nothing_is_sent_to_who_has_not_subscribed(self, hub: Hub) -> None:
        device = await hub.connected()
        device.say(mqtt.Publish(topics.format_twin_request(topics.GetTwin("1")), b"", 1, 5))
        assert await device.hears() == mqtt.PubAck(5)
        device.say(mqtt.PingReq())
        assert await device.hears() == mqtt.PingResp()


class TestReport:
    async def test_changes_are_merged_and_null_removes(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        assert await reports(device, {"a": {"b": 1, "c": [2]}, "d": "x"}) == (204, 2, None)
        assert await reports(device, {"a": {"b": None}, "d": None}, base=2) == (204, 3, None)
        assert (await reads(device))["reported"] == {"a": {"c": [2]}, "$version": 3}

    async def test_one_after_the_other(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        for number in range(20):
            body = json.dumps({"n": number}).encode()
            request = topics.format_twin_request(topics.ReportProperties(str(number)))
            device.say(mqtt.Publish(request, body, 0))
        heard = [(await hears(device))[0] for _ in range(20)]
        assert heard == [topics.TwinResponse(204, str(number), number + 2) for number in range(20)]
        assert (await reads(device))["reported"]["n"] == 19

    @pytest.mark.parametrize(
        ("body", "base", "code"),
        [
            (b'{"a": 1}', 9, 412001),
            (b"{", None, 400006),
            (b"[]", None, 400004),
            (b'{"a.b": 1}', None, 400004),
            (b'{"$version": 1}', None, 400004),
            (b'{"$metadata": {}}', None, 400004),
            (json.dumps({"a": "x" * 4_097}).encode(), None, 400004),
            (json.dumps({str(n): "x" * 4_000 for n in range(9)}).encode(), None, 400004),
            (b'{"a":' * 12 + b"1" + b"}" * 12, None, 400004),
        ],
    )
    async def test_what_is_refused(self, hub: Hub, body: bytes, base: int | None, code: int) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        says(device, topics.ReportProperties("8", base), body)
        response, document = await hears(device)
        assert (response, document["errorCode"]) == (topics.TwinResponse(code // 1000, "8"), code)
        assert set(document) == {"errorCode", "message", "trackingId", "timestampUtc"}
        assert (await reads(device))["reported"] == {"$version": 1}

    async def test_a_change_that_another_connection_has_made_meanwhile(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        await hub.world.store.commit([SaveReported(FIRST_HUB, LAMP, Reported({"a": 1}, 2, hub.world.now))])
        assert await reports(device, {"b": 2}) == (204, 3, None)
        assert (await reads(device))["reported"] == {"a": 1, "b": 2, "$version": 3}


class TestTrouble:
    async def test_a_topic_that_asks_for_nothing_ends_the_connection(self, hub: Hub) -> None:
        for topic in ("$iothub/twin/PUT/?$rid=1", "$iothub/twin/GET/?x=1"):
            device = await hub.connected(topics.TWIN_RESPONSES)
            device.say(mqtt.Publish(topic, b"", 0))
            assert await device.hears() is None

    async def test_a_defect_is_answered_without_its_text(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        hub.store.failures = [RuntimeError("a defect")]
        says(device, topics.GetTwin("1"))
        response, document = await hears(device)
        assert (response.status, document["message"]) == (500, "Internal error")

    async def test_what_can_not_be_read_now_is_not_acknowledged(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        hub.store.failures = [StoreUnavailable("locked")]
        device.say(mqtt.Publish(topics.format_twin_request(topics.GetTwin("1")), b"", 1, 5))
        assert await device.hears() is None

    async def test_too_many_at_once(self, hub: Hub) -> None:
        device = await hub.connected(topics.TWIN_RESPONSES)
        count = MAX_WAITING + 1
        request = [
            mqtt.Publish(topics.format_twin_request(topics.GetTwin(str(n))), b"", 0) for n in range(count)
        ]
        device.say(*request)
        heard = [(await hears(device))[0].status for _ in range(count)]
        assert sorted(heard) == [200] * MAX_WAITING + [429]


class TestDesired:
    async def hears_change(self, device: HubDevice) -> tuple[int, Any]:
        packet = await device.hears()
        assert isinstance(packet, mqtt.Publish), packet
        return topics.parse_desired_change(packet.topic), json.loads(packet.payload)

    async def test_a_device_that_listens_is_told_what_changed(self, hub: Hub) -> None:
        device = await hub.connected(topics.DESIRED_CHANGES)
        await hub.changes({"a": {"b": 1}, "c": 2})
        assert await self.hears_change(device) == (2, {"a": {"b": 1}, "c": 2, "$version": 2})
        await hub.changes({"a": {"b": 1, "d": 3}}, whole=True)
        assert await self.hears_change(device) == (3, {"a": {"d": 3}, "c": None, "$version": 3})

    async def test_until_it_listens_no_more(self, hub: Hub) -> None:
        device = await hub.connected(topics.DESIRED_CHANGES, topics.TWIN_RESPONSES)
        device.say(mqtt.Unsubscribe(4, (topics.DESIRED_CHANGES,)))
        assert await device.hears() == mqtt.UnsubAck(4)
        await hub.changes({"a": 1})
        assert (await reads(device))["desired"] == {"a": 1, "$version": 2}
        await device.leaves()
        await hub.changes({"a": 2})

    async def test_changes_that_another_process_made(self, hub: Hub, tmp_path: Path) -> None:
        bus = InProcessBus()
        heard: list[tuple[dict[str, Any], int]] = []
        here, there = DesiredChanges(hub.store, bus.join()), DesiredChanges(hub.store, bus.join())
        stop = here.listen(FIRST_HUB, LAMP, lambda change, version: heard.append((change, version)))
        await hub.changes({"a": 1})
        there.tell(FIRST_HUB, LAMP, {"a": 1}, 2)
        while not heard:
            await asyncio.sleep(0)
        assert heard == [({"a": 1}, 2)]
        stop()
        stop()
        there.tell(FIRST_HUB, LAMP, {"a": 2}, 3)
        assert len(heard) == 1
