"""Renewal over a connection to a hub: what is said, in which order, and to whom not. Provisioning is scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accredit.domain.errors import AccreditError, Malformed, UpstreamUnavailable
from accredit.domain.renewal import (
    Accepted,
    Busy,
    NothingToReplace,
    NotRenewed,
    RenewalRequest,
    Renewed,
)
from accredit.fronts.hub_credentials import MAX_AT_ONCE, CredentialService
from accredit.fronts.mqtt_hub import HubConversations
from accredit.hub.sessions import Sessions
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.values import replace
from accredit.wire import credentials, mqtt, topics
from support import pki
from support.counted_entropy import CountedEntropy
from support.hub_device import HubDevice
from support.hub_world import LAMP, HubWorld, hub_world

ACCEPTED = Accepted("4.x.guid", "guid", "1234", pki.NOW + 300)
RENEWED = Renewed("guid", (b"leaf", b"ca"))


@dataclass
class Script:
    """Stands where provisioning renews. What is told waits for `ended`."""

    begins: Accepted | Busy | NothingToReplace | Exception = ACCEPTED
    ends: Renewed | NotRenewed | None = RENEWED
    waits: Accepted | None = None
    asked: list[RenewalRequest] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, asked: RenewalRequest) -> Accepted | Busy | NothingToReplace:
        self.asked.append(asked)
        if isinstance(self.begins, Exception):
            raise self.begins
        if isinstance(self.begins, Accepted):
            return replace(self.begins, request_id=asked.request_id)
        return self.begins

    async def outcome(self, operation_id: str) -> Renewed | NotRenewed | None:
        assert operation_id == ACCEPTED.operation_id
        await self.ended.wait()
        return self.ends

    async def waiting(self, certificate: bytes) -> Accepted | None:
        return self.waits


@dataclass
class Hub:
    world: HubWorld
    script: Script
    conversations: HubConversations
    certificate: pki.Entity

    async def connected(self, *, by_key: bool = False) -> HubDevice:
        chain = () if by_key else self.certificate.chain
        device = HubDevice(self.conversations, peer_chain=chain)
        assert await device.connects(self.world.token() if by_key else None) == 0
        return device

    async def subscribed(self, *, by_key: bool = False) -> HubDevice:
        device = await self.connected(by_key=by_key)
        await subscribes(device)
        return device


async def subscribes(device: HubDevice) -> None:
    device.say(mqtt.Subscribe(1, ((topics.CREDENTIAL_RESPONSES, 1),)))
    assert await device.hears() == mqtt.SubAck(1, (1,))


def asks(device: HubDevice, rid: str = "1234", body: bytes | None = None, packet_id: int = 7) -> None:
    if body is None:
        body = credentials.request_body(LAMP, credentials.IssueCertificate("MIIB"))
    device.say(mqtt.Publish(topics.format_credential_request(rid), body, 1, packet_id))


async def hears(device: HubDevice) -> tuple[int, str, dict[str, Any]]:
    packet = await device.hears()
    assert isinstance(packet, mqtt.Publish), packet
    response = topics.parse_credential_response(packet.topic)
    return response.status, response.rid, json.loads(packet.payload)


async def refused(device: HubDevice, rid: str = "1234", body: bytes | None = None) -> int:
    asks(device, rid, body)
    assert await device.hears() == mqtt.PubAck(7)
    status, heard, document = await hears(device)
    assert heard == rid
    assert document["errorCode"] // 1000 == status
    return int(document["errorCode"])


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    world = await hub_world(tmp_path)
    telemetry = SegmentedTelemetry(tmp_path / "telemetry", world.clock)
    script = Script()
    service = CredentialService(script, world.clock, CountedEntropy())
    conversations = HubConversations(
        world.identities(allow_both=True), Sessions(), telemetry, world.clock, credentials=service
    )
    await world.enroll()
    yield Hub(world, script, conversations, await world.issue())
    await conversations.close()
    assert not service.tasks
    await telemetry.close()
    await world.store.close()


class TestConversation:
    async def test_puback_then_202_then_200(self, hub: Hub) -> None:
        device = await hub.subscribed()
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        assert (await hears(device))[:2] == (202, "1234")
        hub.script.ended.set()
        status, rid, document = await hears(device)
        assert (status, rid, document["correlationId"]) == (200, "1234", "guid")
        [asked] = hub.script.asked
        assert (asked.certificate, asked.csr, asked.request_id) == (hub.certificate.der, "MIIB", "1234")

    async def test_telemetry_goes_on(self, hub: Hub) -> None:
        device = await hub.subscribed()
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        await hears(device)
        device.sends(packet_id=8)
        assert await device.hears() == mqtt.PubAck(8)

    async def test_who_has_not_subscribed_hears_nothing_until_it_has(self, hub: Hub) -> None:
        device = await hub.connected()
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        hub.script.ended.set()
        device.sends(packet_id=8)
        assert await device.hears() == mqtt.PubAck(8)
        hub.script.waits = ACCEPTED
        await subscribes(device)
        assert (await hears(device))[0] == 200

    async def test_who_unsubscribes_hears_the_end_after_subscribing_again(self, hub: Hub) -> None:
        device = await hub.subscribed()
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        assert (await hears(device))[0] == 202
        device.say(mqtt.Unsubscribe(2, (topics.CREDENTIAL_RESPONSES,)))
        assert await device.hears() == mqtt.UnsubAck(2)
        hub.script.waits = ACCEPTED
        await subscribes(device)
        hub.script.ended.set()
        assert (await hears(device))[0] == 200

    async def test_a_new_connection_hears_what_the_last_one_missed(self, hub: Hub) -> None:
        device = await hub.subscribed()
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        assert (await hears(device))[0] == 202
        await device.is_lost()
        hub.script.waits = ACCEPTED
        again = await hub.subscribed()
        hub.script.ended.set()
        assert (await hears(again))[:2] == (200, "1234")

    async def test_asking_twice_by_one_name_is_answered_once(self, hub: Hub) -> None:
        device = await hub.subscribed()
        for packet_id in (7, 8):
            asks(device, packet_id=packet_id)
            assert await device.hears() == mqtt.PubAck(packet_id)
            assert (await hears(device))[0] == 202
        hub.script.ended.set()
        assert (await hears(device))[0] == 200
        device.sends(packet_id=9)
        assert await device.hears() == mqtt.PubAck(9)

    async def test_a_stopping_service_leaves_it_to_the_next(self, hub: Hub) -> None:
        device = await hub.subscribed()
        hub.script.ends = None
        hub.script.ended.set()
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        assert (await hears(device))[0] == 202
        device.sends(packet_id=8)
        assert await device.hears() == mqtt.PubAck(8)


class TestRefusals:
    async def test_a_failed_operation(self, hub: Hub) -> None:
        device = await hub.subscribed()
        hub.script.ends = NotRenewed("guid", "1234", "The CA said no.")
        hub.script.ended.set()
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        assert (await hears(device))[0] == 202
        status, _, document = await hears(device)
        assert (status, document["errorCode"]) == (400, 400040)
        assert document["info"]["correlationId"] == "guid"

    async def test_a_csr_that_does_not_pass_is_accepted_first(self, hub: Hub) -> None:
        device = await hub.subscribed()
        hub.script.begins = Malformed("No.", rule="csr-signature")
        asks(device)
        assert await device.hears() == mqtt.PubAck(7)
        assert (await hears(device))[0] == 202
        status, _, document = await hears(device)
        assert (status, document["errorCode"]) == (400, 400037)

    @pytest.mark.parametrize(
        ("begins", "code"),
        [
            (Busy("guid", "5678", pki.NOW, begun=False), 409004),
            (Busy("guid", "5678", pki.NOW, begun=True), 409005),
            (NothingToReplace("5678"), 412001),
            (UpstreamUnavailable("Later.", rule="store-unavailable", retry_after_s=5), 503001),
            (RuntimeError("a defect"), 500001),
        ],
    )
    async def test_what_does_not_begin(self, hub: Hub, begins: Any, code: int) -> None:
        hub.script.begins = begins
        assert await refused(await hub.subscribed()) == code

    @pytest.mark.parametrize(
        ("body", "code"), [(b"", 400004), (b'{"id": "lamp-1", "csr":', 400006), (b"{}", 400004)]
    )
    async def test_a_body_of_another_form(self, hub: Hub, body: bytes, code: int) -> None:
        assert await refused(await hub.subscribed(), body=body) == code
        assert hub.script.asked == []

    @pytest.mark.parametrize("rid", ["123", "-1234", "a" * 37])
    async def test_a_request_id_of_another_form(self, hub: Hub, rid: str) -> None:
        assert await refused(await hub.subscribed(), rid) == 400004

    async def test_a_connection_by_key_renews_nothing(self, hub: Hub) -> None:
        assert await refused(await hub.subscribed(by_key=True)) == 403010
        assert hub.script.asked == []

    async def test_too_many_at_once(self, hub: Hub) -> None:
        device = await hub.subscribed()
        for number in range(MAX_AT_ONCE):
            asks(device, f"rid-{number}", packet_id=10 + number)
            assert await device.hears() == mqtt.PubAck(10 + number)
            assert (await hears(device))[0] == 202
        assert await refused(device) == 429002

    @pytest.mark.parametrize(
        "topic",
        [
            "$iothub/credentials/POST/issueCertificate/",
            "$iothub/credentials/POST/issueCertificate/?$version=1",
            "$iothub/credentials/GET/anything/?$rid=1234",
        ],
    )
    async def test_a_topic_that_cannot_be_answered_ends_the_connection(self, hub: Hub, topic: str) -> None:
        device = await hub.subscribed()
        device.say(mqtt.Publish(topic, b"{}", 1, 7))
        assert await device.hears() is None

    async def test_a_failure_while_looking_for_what_was_missed_is_logged_alone(self, hub: Hub) -> None:
        class Failing(Script):
            async def waiting(self, certificate: bytes) -> Accepted | None:
                failures: list[AccreditError | RuntimeError] = [
                    RuntimeError("a defect"),
                    UpstreamUnavailable("Later.", rule="store-unavailable", retry_after_s=5),
                ]
                raise failures[len(self.asked)]

        script = Failing()
        assert hub.conversations.credentials is not None
        service = CredentialService(script, hub.world.clock, CountedEntropy())
        hub.conversations.credentials = service
        device = await hub.subscribed()
        assert await refused(device, body=b"") == 400004
        await subscribes(device)
        assert await refused(device, body=b"") == 400004
