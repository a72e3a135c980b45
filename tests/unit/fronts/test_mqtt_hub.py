"""Devices at the hub over MQTT: CONNECT, telemetry, what is refused, how a session ends. Real store, log and codec."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.domain.secret import Secret
from accredit.fronts.mqtt_hub import ENDED, STOPS, HubConversations
from accredit.hub.sessions import TAKEN_OVER, Sessions
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.interfaces import StoreUnavailable
from accredit.wire import mqtt, topics
from support.hub_device import HubDevice
from support.hub_world import LAMP, HubWorld, hub_world
from support.logs import capture_logs
from support.troubled_disk import TroubledDisk

EVENTS = "devices/lamp-1/messages/events/"
KIB = 1024


@dataclass
class Hub:
    """A hub with one enrolled device, `lamp-1`."""

    world: HubWorld
    telemetry: SegmentedTelemetry
    sessions: Sessions
    conversations: HubConversations
    disk: TroubledDisk

    async def connected(self, will: mqtt.Will | None = None) -> HubDevice:
        device = HubDevice(self.conversations)
        assert await device.connects(self.world.token(), will=will) == 0
        return device

    async def stored(self) -> list[Telemetry]:
        return [message for _, message in await self.telemetry.read(None, 0, 1_000)]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    world = await hub_world(tmp_path)
    disk = TroubledDisk()
    telemetry = SegmentedTelemetry(tmp_path / "telemetry", world.clock, disk=disk)
    sessions = Sessions()
    conversations = HubConversations(world.identities(), sessions, telemetry, world.clock)
    await world.enroll()
    yield Hub(world, telemetry, sessions, conversations, disk)
    await conversations.close()
    await telemetry.close()
    await world.store.close()


@pytest.fixture
def logged() -> Any:
    with capture_logs() as entries:
        yield entries


def reasons(logged: list[dict[str, Any]]) -> list[str]:
    return [entry["reason"] for entry in logged if "reason" in entry]


def rules(logged: list[dict[str, Any]]) -> list[str]:
    return [entry["rule"] for entry in logged if "rule" in entry]


class TestConnect:
    """MQTT 3.1.1, 3.1 and 3.2; Azure's user names."""

    async def test_a_token_opens_a_session(self, hub: Hub) -> None:
        await hub.connected()
        assert hub.sessions.connected(LAMP)

    async def test_an_issued_certificate_opens_a_session_without_a_password(self, hub: Hub) -> None:
        certificate = await hub.world.issue()
        device = HubDevice(hub.conversations, peer_chain=certificate.chain)
        assert await device.connects() == 0
        device.sends()
        assert await device.hears() == mqtt.PubAck(1)
        [message] = await hub.stored()
        assert '"type":"x509CertificateAuthority"' in message.auth_method

    async def test_an_empty_password_is_none(self, hub: Hub) -> None:
        certificate = await hub.world.issue()
        device = HubDevice(hub.conversations, peer_chain=certificate.chain)
        assert await device.connects(password=b"") == 0

    @pytest.mark.parametrize(
        "user_name",
        [
            "hub.example/lamp-1",
            "hub.example/lamp-1/",
            "HUB.example/lamp-1/?api-version=2019-10-01&DeviceClientType=py-azure-iot-device%2F2.14.0",
            "localhost/lamp-1/?model-id=dtmi:com:example:Lamp;1&api-version=2021-04-12&unknown=1",
        ],
    )
    async def test_the_sdks_user_names_are_taken(self, hub: Hub, user_name: str) -> None:
        device = HubDevice(hub.conversations)
        assert await device.connects(hub.world.token(), user_name=user_name) == 0

    @pytest.mark.parametrize(
        ("user_name", "client_id", "code", "rule"),
        [
            ("hub.example", "lamp-1", 5, "hub-user-name"),
            ("lamp-1", "lamp-1", 5, "hub-user-name"),
            ("hub.example/a/b/c", "lamp-1", 5, "hub-user-name"),
            ("other.example/lamp-1/?api-version=2021-04-12", "lamp-1", 5, "hub-host-name"),
            ("hub.example/lamp-1/?api-version=2021-04-12", "lamp-2", 2, "hub-client-id"),
            ("hub.example/lamp-1/?api-version=2021-04-12", "LAMP-1", 2, "hub-client-id"),
            ("hub.example/lamp-1/?api-version=2021-04-12", "lamp-1/edge", 2, "hub-client-id"),
            ("hub.example/lamp-1/edge/?api-version=2021-04-12", "lamp-1/edge", 5, "hub-module"),
            ("hub.example/lamp-2/?api-version=2021-04-12", "lamp-2", 5, "hub-device-unknown"),
            ("hub.example/lamp 1/?api-version=2021-04-12", "lamp 1", 5, "hub-device-unknown"),
        ],
    )
    async def test_who_cannot_be_a_device_of_ours_is_refused(
        self, hub: Hub, logged: Any, user_name: str, client_id: str, code: int, rule: str
    ) -> None:
        device = HubDevice(hub.conversations)
        answer = await device.connects(hub.world.token(), user_name=user_name, client_id=client_id)
        assert answer == code
        assert await device.hears() is None
        assert rules(logged) == [rule]
        assert len(hub.sessions) == 0

    async def test_bad_credentials_are_final(self, hub: Hub, logged: Any) -> None:
        wrong = hub.world.token(key=Secret(b"wrong"))
        assert await HubDevice(hub.conversations).connects(wrong) == 5
        assert await HubDevice(hub.conversations).connects("SharedAccessSignature sr=x") == 5
        assert await HubDevice(hub.conversations).connects(password=b"\xff\xfe") == 5
        assert await HubDevice(hub.conversations).connects() == 5
        assert rules(logged) == ["sas-signature", "sas-malformed", "sas-malformed", "hub-no-credential"]

    async def test_another_devices_certificate_is_refused(self, hub: Hub, logged: Any) -> None:
        await hub.world.enroll(DeviceId("lamp-2"))
        certificate = await hub.world.issue(DeviceId("lamp-2"))
        device = HubDevice(hub.conversations, peer_chain=certificate.chain)
        assert await device.connects() == 5
        assert rules(logged) == ["hub-certificate-of-another-device"]

    async def test_the_key_is_refused_beside_a_good_certificate(self, hub: Hub, logged: Any) -> None:
        await hub.world.issue()
        assert await HubDevice(hub.conversations).connects(hub.world.token()) == 5
        assert rules(logged) == ["hub-sas-superseded"]

    async def test_our_own_trouble_is_temporary(self, hub: Hub) -> None:
        class Down:
            async def hub_device(self, _device_id: DeviceId) -> None:
                raise StoreUnavailable("the disk is full")

        identities = hub.world.identities(store=Down())
        down = HubConversations(identities, hub.sessions, hub.telemetry, hub.world.clock)
        assert await HubDevice(down).connects(hub.world.token()) == 3

    async def test_a_full_hub_is_temporary_too(self, hub: Hub) -> None:
        full = HubConversations(
            hub.world.identities(), Sessions(max_sessions=0), hub.telemetry, hub.world.clock
        )
        assert await HubDevice(full).connects(hub.world.token()) == 3

    async def test_no_secret_reaches_the_log(self, hub: Hub, logged: Any) -> None:
        token = hub.world.token(key=Secret(b"wrong"))
        await HubDevice(hub.conversations).connects(token)
        assert logged
        assert "SharedAccessSignature" not in repr(logged)
        assert token.partition("sig=")[2][:20] not in repr(logged)


class TestTelemetry:
    async def test_a_message_is_acknowledged_when_it_is_stored(self, hub: Hub) -> None:
        device = await hub.connected()
        device.sends(b'{"t": 21}', 7, room="5 a/b+c", empty="")
        assert await device.hears() == mqtt.PubAck(7)
        [message] = await hub.stored()
        assert message.device_id == LAMP
        assert message.body == b'{"t": 21}'
        assert message.properties == {"room": "5 a/b+c", "empty": ""}
        assert message.enqueued_at == hub.world.clock.now()

    async def test_system_properties_are_told_apart(self, hub: Hub) -> None:
        device = await hub.connected()
        bag = "%24.mid=m1&$.ct=application/json&%24.ce=utf-8&room=5&bare&%24.other=x"
        device.sends(topic=EVENTS + bag)
        assert await device.hears() == mqtt.PubAck(1)
        [message] = await hub.stored()
        assert message.properties == {"room": "5", "bare": "", "$.other": "x"}
        told = {name: value for name, value in message.system.items() if not name.startswith("iothub-")}
        assert told == {"message-id": "m1", "content-type": "application/json", "content-encoding": "utf-8"}
        assert message.system["iothub-connection-device-id"] == "lamp-1"
        assert message.system["iothub-message-source"] == "Telemetry"

    @pytest.mark.parametrize("topic", ["devices/lamp-1/messages/events", EVENTS])
    async def test_a_bag_is_not_needed(self, hub: Hub, topic: str) -> None:
        device = await hub.connected()
        device.sends(topic=topic)
        assert await device.hears() == mqtt.PubAck(1)
        assert (await hub.stored())[0].properties == {}

    async def test_qos_0_is_stored_and_not_answered(self, hub: Hub) -> None:
        device = await hub.connected()
        device.sends(b"quiet", None)
        device.sends(b"loud", 1)
        assert await device.hears() == mqtt.PubAck(1)
        assert [message.body for message in await hub.stored()] == [b"quiet", b"loud"]

    async def test_retain_becomes_a_property(self, hub: Hub) -> None:
        device = await hub.connected()
        device.sends(retain=True, room="5")
        await device.hears()
        assert (await hub.stored())[0].properties == {"room": "5", "mqtt-retain": "true"}

    async def test_many_at_once_are_acknowledged_in_order(self, hub: Hub) -> None:
        device = await hub.connected()
        device.say(*(mqtt.Publish(EVENTS, b"%d" % n, 1, n) for n in range(1, 1_001)))
        heard = [await device.hears() for _ in range(1_000)]
        assert heard == [mqtt.PubAck(n) for n in range(1, 1_001)]
        assert [message.body for message in await hub.stored()] == [b"%d" % n for n in range(1, 1_001)]

    async def test_messages_just_before_a_disconnect_are_kept(self, hub: Hub) -> None:
        device = await hub.connected()
        device.sends(b"last words", None)
        await device.leaves()
        await hub.conversations.in_flight.drained()
        assert [message.body for message in await hub.stored()] == [b"last words"]

    async def test_the_largest_message_is_taken(self, hub: Hub) -> None:
        device = await hub.connected()
        device.sends(bytes(256 * KIB - 4), 1, k="vvv")
        assert await device.hears() == mqtt.PubAck(1)

    async def test_a_larger_one_ends_the_connection(self, hub: Hub, logged: Any) -> None:
        device = await hub.connected()
        device.sends(bytes(256 * KIB - 3), 1, k="vvv")
        assert await device.hears() is None
        assert "The message is larger than 256 KiB." in reasons(logged)
        assert await hub.stored() == []

    async def test_what_can_not_be_stored_is_not_acknowledged(self, hub: Hub, logged: Any) -> None:
        device = await hub.connected()
        hub.disk.full = True
        device.sends()
        assert await device.hears() is None
        assert any("No space left" in reason for reason in reasons(logged))
        hub.disk.full = False
        again = await hub.connected()
        again.sends()
        assert await again.hears() == mqtt.PubAck(1)


class TestPublishElsewhere:
    """Azure: MQTT ends the connection where AMQP answers an error."""

    @pytest.mark.parametrize(
        ("topic", "reason"),
        [
            ("$iothub/methods/res/200/?$rid=1", "direct methods are not part of this hub yet"),
            ("devices/lamp-2/messages/events/", "a message in another device's name"),
            ("devices/Lamp-1/messages/events/", "a message in another device's name"),
            ("devices/lamp-1/modules/m/messages/events/", "modules are not part of this hub yet"),
            ("devices/lamp-1/messages/devicebound/", "a topic that is not of a device-to-cloud message"),
            ("devices/lamp-1/messages/events/%ff", "a topic that is not UTF-8 when decoded"),
            ("anything", "a topic that is not of a device-to-cloud message"),
            (
                "$dps/registrations/PUT/iotdps-register/?$rid=1",
                "a topic that is not of a device-to-cloud message",
            ),
        ],
    )
    async def test_it_ends_the_connection_and_says_why(
        self, hub: Hub, logged: Any, topic: str, reason: str
    ) -> None:
        device = await hub.connected()
        device.sends(topic=topic)
        assert await device.hears() is None
        assert reasons(logged) == [reason]
        assert await hub.stored() == []


class TestSubscribe:
    @pytest.mark.parametrize(
        ("topic_filter", "reason"),
        [
            (
                "devices/lamp-1/messages/devicebound/#",
                "cloud-to-device messages are not part of this hub yet",
            ),
            ("$iothub/methods/POST/#", "direct methods are not part of this hub yet"),
            ("devices/lamp-1/modules/m/#", "modules are not part of this hub yet"),
            ("#", "not a topic filter of an IoT hub"),
        ],
    )
    async def test_what_is_not_there_is_refused_in_the_suback(
        self, hub: Hub, logged: Any, topic_filter: str, reason: str
    ) -> None:
        device = await hub.connected()
        device.say(mqtt.Subscribe(3, ((topic_filter, 1),)))
        assert await device.hears() == mqtt.SubAck(3, (0x80,))
        assert reasons(logged) == [reason]
        device.say(mqtt.Unsubscribe(4, (topic_filter,)))
        assert await device.hears() == mqtt.UnsubAck(4)
        device.sends()
        assert await device.hears() == mqtt.PubAck(1), "the connection goes on"


class TestWill:
    WILL = mqtt.Will(EVENTS + "room=5", b"gone", 1, retain=False)

    async def test_a_lost_device_leaves_its_will(self, hub: Hub) -> None:
        device = await hub.connected(self.WILL)
        hub.world.clock.advance(60)
        await device.is_lost()
        await hub.conversations.in_flight.drained()
        [message] = await hub.stored()
        assert message.body == b"gone"
        assert message.properties == {"room": "5", "iothub-MessageType": "Will"}
        assert message.enqueued_at == hub.world.clock.now()

    async def test_it_comes_after_what_the_device_sent(self, hub: Hub) -> None:
        device = await hub.connected(self.WILL)
        device.sends(b"still there", None)
        await device.is_lost()
        await hub.conversations.in_flight.drained()
        assert [message.body for message in await hub.stored()] == [b"still there", b"gone"]

    async def test_a_disconnect_discards_it(self, hub: Hub) -> None:
        device = await hub.connected(self.WILL)
        await device.leaves()
        await hub.conversations.in_flight.drained()
        assert await hub.stored() == []

    async def test_a_service_that_stops_has_lost_no_device(self, hub: Hub) -> None:
        device = await hub.connected(self.WILL)
        device.connection.drain()
        await device.gone()
        await hub.conversations.close()
        assert await hub.stored() == []

    @pytest.mark.parametrize("topic", ["devices/lamp-2/messages/events/", "$iothub/twin/GET/", "x"])
    async def test_a_will_for_somewhere_else_is_refused(self, hub: Hub, logged: Any, topic: str) -> None:
        device = HubDevice(hub.conversations)
        will = mqtt.Will(topic, b"", 0, retain=False)
        assert await device.connects(hub.world.token(), will=will) == 5
        assert rules(logged) == ["hub-will"]
        assert len(hub.sessions) == 0


class TestEndOfSession:
    async def test_a_new_connection_takes_the_old_ones_place(self, hub: Hub, logged: Any) -> None:
        first = await hub.connected()
        second = HubDevice(hub.conversations)
        second.say(
            mqtt.Connect("lamp-1", "hub.example/lamp-1", hub.world.token().encode()),
            mqtt.Publish(EVENTS, b"first packet", 1, 1),
        )
        assert await second.hears() == mqtt.ConnAck(session_present=False, code=0)
        assert first.transport.closing, "closed before the new one's first packet"
        assert await second.hears() == mqtt.PubAck(1)
        assert reasons(logged) == [TAKEN_OVER]
        await first.gone()
        assert hub.sessions.connected(LAMP), "the end of the old one is not the end of the new"

    async def test_a_refused_connection_disturbs_nobody(self, hub: Hub) -> None:
        device = await hub.connected()
        intruder = HubDevice(hub.conversations)
        assert await intruder.connects(hub.world.token(key=Secret(b"wrong"))) == 5
        device.sends()
        assert await device.hears() == mqtt.PubAck(1)

    async def test_the_first_use_of_a_new_certificate_cuts_the_old_ones_session(self, hub: Hub) -> None:
        old, new = await hub.world.issue(), await hub.world.issue()
        before = HubDevice(hub.conversations, peer_chain=old.chain)
        assert await before.connects() == 0
        after = HubDevice(hub.conversations, peer_chain=new.chain)
        assert await after.connects() == 0
        assert await before.hears() is None
        assert await HubDevice(hub.conversations, peer_chain=old.chain).connects() == 5

    async def test_what_changes_while_a_device_connects_counts(self, hub: Hub, logged: Any) -> None:
        """It is judged again once its session can be found and cut."""
        identities = hub.world.identities()

        class CertifiedMeanwhile:
            judged = 0

            async def authenticate(self, *args: Any) -> Any:
                self.judged += 1
                if self.judged == 2:
                    await hub.world.issue()
                return await identities.authenticate(*args)

        conversations = HubConversations(CertifiedMeanwhile(), hub.sessions, hub.telemetry, hub.world.clock)
        assert await HubDevice(conversations).connects(hub.world.token()) == 5
        assert rules(logged) == ["hub-sas-superseded"]
        assert len(hub.sessions) == 0

    async def test_the_session_ends_with_its_token(self, hub: Hub, logged: Any) -> None:
        device = HubDevice(hub.conversations)
        end = hub.world.now + 1
        hub.world.clock.advance(0.99)
        assert await device.connects(hub.world.token(expires_at=end)) == 0
        hub.world.clock.advance(0.02)
        assert await device.hears() is None
        assert reasons(logged) == [ENDED]

    async def test_a_clock_that_was_put_back_does_not_end_it_early(self, hub: Hub) -> None:
        device = HubDevice(hub.conversations)
        end = hub.world.now + 1
        hub.world.clock.advance(0.99)
        assert await device.connects(hub.world.token(expires_at=end)) == 0
        looks: list[float] = []
        now = hub.world.clock.now
        hub.world.clock.now = lambda: looks.append(now()) or now()
        while len(looks) < 4:
            await asyncio.sleep(0)
        assert not device.transport.closing
        hub.world.clock.advance(0.02)
        assert await device.hears() is None

    async def test_draining_acknowledges_what_was_taken_and_then_closes(self, hub: Hub, logged: Any) -> None:
        device = await hub.connected()
        device.sends(b"one", 1)
        device.connection.drain()
        device.sends(b"too late", 2)
        assert await device.hears() == mqtt.PubAck(1)
        assert await device.hears() is None
        assert reasons(logged) == [STOPS]
        assert [message.body for message in await hub.stored()] == [b"one"]

    async def test_close_cuts_everybody_and_waits_for_the_disk(self, hub: Hub) -> None:
        device = await hub.connected()
        device.sends(b"one", None)
        await hub.conversations.close()
        assert await device.hears() is None
        assert hub.conversations.in_flight.bytes == 0
        assert [message.body for message in await hub.stored()] == [b"one"]


@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
    password=st.none() | st.binary(max_size=60),
)
def test_no_connect_breaks_the_front(name: str, password: bytes | None) -> None:
    class Nobody:
        async def authenticate(self, *_args: Any) -> None:
            raise StoreUnavailable("nobody is asked here")

    class Link:
        peer_chain = ()
        source = "192.0.2.7"

    async def attempt() -> None:
        nowhere: Any = None
        conversations = HubConversations(Nobody(), Sessions(), nowhere, nowhere)
        user_name = f"hub.example/{name}"
        parsed = topics.parse_hub_user_name(user_name)
        client_id = parsed.device_id if parsed else "x"
        answer = await conversations.open(mqtt.Connect(client_id, user_name, password), Link())
        assert answer in (2, 3, 5)

    with capture_logs():
        asyncio.run(attempt())
