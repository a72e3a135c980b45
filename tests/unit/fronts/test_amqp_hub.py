"""Devices at the hub over AMQP: every way to prove oneself, links, messages and batches, and how a session ends.

Real store, telemetry log and engine; frames as each SDK sends them, its file named.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accredit.domain.access import Right
from accredit.domain.ids import DeviceId
from accredit.fronts.amqp_cbs import MAX_LINKS
from accredit.fronts.amqp_device import CREDIT, MAX_DELIVERY_BYTES
from accredit.fronts.mqtt_hub import STOPS
from accredit.hub.sessions import TAKEN_OVER
from accredit.provisioning.limits import Limits, Terms
from accredit.wire import amqp_message as m
from accredit.wire import amqp_sasl as sasl
from accredit.wire import amqp_types as t
from accredit.wire.amqp_sasl import SASL_HEADER
from support.amqp_scenes import AmqpScene, amqp_scene
from support.amqp_script import (
    ACCEPTED,
    RECEIVER,
    REJECTED,
    SENDER,
    AmqpScript,
    attach,
    begin,
    detach,
    end,
    flow,
    settled,
    transfer,
)
from support.hub_world import HOST, LAMP
from support.logs import capture_logs

EVENTS = "/devices/lamp-1/messages/events"
UUID_TEXT = "8d0a1f4e-3a52-4d84-a3dc-2a3f0f3f6c11"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[AmqpScene]:
    made = await amqp_scene(tmp_path)
    await made.world.enroll()
    yield made
    await made.close()


@pytest.fixture
def lines() -> Any:
    with capture_logs() as captured:
        yield captured


def put_token(
    token: str, message_id: bytes, *, name: str = "whatever", operation: str = "put-token"
) -> bytes:
    return m.encode(
        value=t.string(token),
        properties=m.Properties(message_id=message_id, to="$cbs"),
        application={
            "operation": t.string(operation),
            "type": t.string("servicebus.windows.net:sastoken"),
            "name": t.string(name),
        },
    )


async def opens_cbs(script: AmqpScript) -> None:
    """Node amqp_cbs.js: a sender and a receiver, whose other ends are called `cbs`. Handles 0 and 1."""
    script.says(attach(0, SENDER, "$cbs"))
    await script.hears("attach")
    await script.hears("flow")
    script.says(attach(1, RECEIVER, "$cbs"), flow(1, 100))
    await script.hears("attach")


async def answer(script: AmqpScript) -> m.Message:
    told = await script.hears("disposition")
    assert told[4].descriptor == ACCEPTED
    return m.parse((await script.hears("transfer")).payload)


async def by_token(scene: AmqpScene) -> AmqpScript:
    """A connection whose token for lamp-1 is good."""
    script = scene.script()
    await script.begins()
    await opens_cbs(script)
    script.says(transfer(0, 0, put_token(scene.world.token(), t.string("1"))))
    assert (await answer(script)).application["status-code"] == 200
    return script


async def attached(script: AmqpScript, handle: int = 2, address: str = EVENTS) -> None:
    script.says(attach(handle, SENDER, address))
    assert (await script.hears("attach"))[6].value[0] == address
    assert (await script.hears("flow"))[6] == CREDIT


async def refused(script: AmqpScript) -> tuple[str, str | None]:
    await script.hears("attach")
    return (await script.hears("detach")).error


class TestTokens:
    @pytest.mark.parametrize(
        "message_id",
        [t.string(UUID_TEXT), t.uuid(UUID(UUID_TEXT)), t.ulong(1)],
        ids=["node", "java", "c"],
    )
    async def test_the_answer_names_the_request_in_its_own_type(
        self, scene: AmqpScene, message_id: bytes
    ) -> None:
        """amqp_cbs.js compares by ===, Java casts to UUID, uAMQP reads a ulong; the status is an int of 200."""
        script = scene.script()
        await script.begins()
        await opens_cbs(script)
        script.says(transfer(0, 0, put_token(scene.world.token(), message_id)))
        told = await answer(script)
        assert told.properties.correlation_id == message_id
        assert told.application["status-code"] == 200
        assert told.application["status-description"] == "OK"

    async def test_then_the_device_sends(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        script.says(transfer(2, 1, m.encode(b"21.5")))
        assert (await script.hears("disposition"))[4].descriptor == ACCEPTED
        (message,) = await scene.stored()
        assert (message.device_id, message.body) == (LAMP, b"21.5")
        assert '"type":"sas"' in message.auth_method

    async def test_the_answer_goes_to_the_link_of_the_same_session(self, scene: AmqpScene) -> None:
        script = scene.script()
        await script.begins()
        script.says(begin(1), attach(0, RECEIVER, "$cbs"), flow(0, 9))
        await script.hears("begin")
        await script.hears("attach")
        script.says(
            attach(0, SENDER, "$cbs", channel=1),
            attach(1, RECEIVER, "$cbs", channel=1),
            flow(1, 9, channel=1),
        )
        await script.hears("attach")
        await script.hears("attach")
        script.says(transfer(0, 0, put_token(scene.world.token(), t.ulong(1)), channel=1))
        await script.hears("disposition")
        assert (await script.hears("transfer")).channel == 1

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            ("nonsense", 401),
            ({"resource": f"{HOST}/devices/lamp-2"}, 401),
            ({"resource": HOST}, 401),
            ({"resource": "other.example/devices/lamp-1"}, 401),
            ({"expires_at": 1}, 401),
        ],
    )
    async def test_a_bad_token(self, scene: AmqpScene, token: Any, code: int, lines: Any) -> None:
        script = scene.script()
        await script.begins()
        await opens_cbs(script)
        text = token if isinstance(token, str) else scene.world.token(**token)
        script.says(transfer(0, 0, put_token(text, t.string("1"))))
        told = await answer(script)
        assert told.application["status-code"] == code
        assert told.application["status-description"]
        assert len([line for line in lines if line["event"] == "hub-token-refused"]) == 1
        script.says(attach(2, SENDER, EVENTS))
        assert (await refused(script))[0] == "amqp:unauthorized-access"

    @pytest.mark.parametrize(
        ("payload", "code"),
        [
            (b"\xff", 400),
            (m.encode(b"no value"), 400),
            (put_token("x", t.string("1"), operation="delete-token"), 400),
        ],
    )
    async def test_what_is_no_request(self, scene: AmqpScene, payload: bytes, code: int) -> None:
        script = scene.script()
        await script.begins()
        await opens_cbs(script)
        script.says(transfer(0, 0, payload))
        assert (await answer(script)).application["status-code"] == code

    async def test_a_token_of_the_hubs_own_policy(self, scene: AmqpScene) -> None:
        key = await scene.world.policy("device", Right.DEVICE_CONNECT)
        script = scene.script()
        await script.begins()
        await opens_cbs(script)
        token = scene.world.token(key=key, policy="device")
        script.says(transfer(0, 0, put_token(token, t.string("1"))))
        assert (await answer(script)).application["status-code"] == 200
        await attached(script)

    async def test_a_newer_token_prolongs_the_session(self, scene: AmqpScene) -> None:
        """updateSharedAccessSignature: put-token again, on the same links."""
        script = await by_token(scene)
        await attached(script)
        later = scene.world.token(expires_at=scene.world.now + 9_000)
        script.says(settled(0), transfer(0, 1, put_token(later, t.string("2"))))
        assert (await answer(script)).application["status-code"] == 200
        scene.world.clock.advance(5_000)
        (device,) = script.connection._conversations[script.connection._doors.hub]._devices.values()
        device._end_if_due()
        await script.is_silent()

    async def test_without_a_link_for_the_answer(self, scene: AmqpScene) -> None:
        script = scene.script()
        await script.begins()
        script.says(attach(0, SENDER, "$cbs"))
        await script.hears("attach")
        script.says(transfer(0, 0, put_token(scene.world.token(), t.string("1"))))
        await script.hears("disposition")
        script.says(attach(1, RECEIVER, "$cbs"))
        await script.hears("attach")
        script.says(detach(1))
        await script.hears("detach")


class TestFailures:
    """A failed proof is charged to its source here as over MQTT."""

    @pytest.fixture
    def once(self, scene: AmqpScene) -> None:
        """The source may fail once a minute."""
        scene.devices.counts = Limits(scene.world.clock, Terms(failed_proofs_per_minute=1))

    @pytest.mark.usefixtures("once")
    async def test_tokens_that_fail_too_often(self, scene: AmqpScene) -> None:
        script = scene.script()
        await script.begins()
        await opens_cbs(script)
        bad = put_token(scene.world.token(f"{HOST}/devices/lamp-2"), t.string("1"))
        codes = []
        for number in range(2):
            script.says(transfer(0, number, bad))
            codes.append((await answer(script)).application["status-code"])
            script.says(settled(number))
        assert codes == [401, 429]
        script.says(transfer(0, 2, put_token(scene.world.token(), t.string("2"))))
        assert (await answer(script)).application["status-code"] == 200, "a right proof is evaluated"

    @pytest.mark.usefixtures("once")
    async def test_links_that_fail_too_often(self, scene: AmqpScene) -> None:
        script = scene.script()
        await script.begins()
        conditions = []
        for handle in range(2):
            script.says(attach(handle, SENDER, EVENTS))
            conditions.append((await refused(script))[0])
        assert conditions == ["amqp:unauthorized-access", "com.microsoft:device-container-throttled"]

    @pytest.mark.usefixtures("once")
    async def test_logins_that_fail_too_often(self, scene: AmqpScene) -> None:
        outcomes = []
        for _ in range(2):
            script = scene.script()
            script.says(SASL_HEADER, sasl.Init("PLAIN", sasl.plain("lamp-1@sas.hub", "nonsense")))
            await script.hears_header(SASL_HEADER)
            await script.hears_sasl()
            outcomes.append(await script.hears_sasl())
        assert outcomes == [sasl.Outcome(sasl.AUTH), sasl.Outcome(sasl.SYS_TEMP)]

    async def test_links_for_tokens_have_an_end(self, scene: AmqpScene) -> None:
        """Each may hold the beginning of a message, and nobody has proven anything."""
        script = scene.script()
        await script.begins()
        for handle in range(MAX_LINKS):
            script.says(attach(handle, SENDER, "$cbs"))
            await script.hears("attach")
        script.says(attach(MAX_LINKS, SENDER, "$cbs"))
        assert (await refused(script))[0] == "amqp:resource-limit-exceeded"
        script.says(detach(0))
        await script.hears("detach")
        script.says(attach(0, SENDER, "$cbs", name="another"))
        await script.hears("attach")
        await script.hears("flow")
        await script.is_silent()


class TestOtherProofs:
    async def test_a_certificate_needs_no_token(self, scene: AmqpScene) -> None:
        """C# AmqpIotConnector.cs, Node: no SASL and no $cbs, the link is attached at once."""
        leaf = await scene.world.issue()
        script = scene.script(peer_chain=leaf.chain)
        await script.begins()
        await attached(script)
        script.says(transfer(2, 0, m.encode(b"x")))
        await script.hears("disposition")
        (message,) = await scene.stored()
        assert "x509CertificateAuthority" in message.auth_method

    async def test_sasl_plain_of_a_device(self, scene: AmqpScene) -> None:
        script = scene.script()
        await script.logs_in(sasl.Init("PLAIN", sasl.plain("lamp-1@sas.hub", scene.world.token())))
        await attached(script)
        script.says(transfer(2, 0, m.encode(b"x")))
        await script.hears("disposition")
        assert len(await scene.stored()) == 1

    async def test_the_login_of_one_device_opens_no_other(self, scene: AmqpScene) -> None:
        await scene.world.enroll(DeviceId("lamp-2"))
        script = scene.script()
        await script.logs_in(sasl.Init("PLAIN", sasl.plain("lamp-1@sas.hub", scene.world.token())))
        script.says(attach(0, SENDER, "/devices/lamp-2/messages/events"))
        assert (await refused(script))[0] == "amqp:unauthorized-access"

    async def test_a_login_whose_token_has_ended(self, scene: AmqpScene) -> None:
        script = scene.script()
        await script.logs_in(sasl.Init("PLAIN", sasl.plain("lamp-1@sas.hub", scene.world.token())))
        scene.world.clock.advance(4_000)
        script.says(attach(0, SENDER, EVENTS))
        assert (await refused(script))[0] == "amqp:unauthorized-access"

    async def test_no_proof_at_all(self, scene: AmqpScene, lines: Any) -> None:
        script = scene.script()
        await script.begins()
        script.says(attach(0, SENDER, EVENTS))
        assert (await refused(script))[0] == "amqp:unauthorized-access"
        assert [line["rule"] for line in lines if line["event"] == "hub-connect-refused"] == [
            "hub-no-credential"
        ]


class TestLinks:
    @pytest.mark.parametrize(
        "address",
        [
            EVENTS,
            f"amqps://{HOST}/devices/lamp-1/messages/events",
            "/Devices/lamp-1/Messages/Events/",
            "/devices/lamp%2D1/messages/events",
        ],
        ids=["node", "csharp", "case", "encoded"],
    )
    async def test_addresses_as_the_sdks_write_them(self, scene: AmqpScene, address: str) -> None:
        script = await by_token(scene)
        await attached(script, address=address)

    @pytest.mark.parametrize(
        ("role", "address"),
        [
            (SENDER, "/devices/lamp-1/twin"),
            (RECEIVER, "/devices/lamp-1/twin"),
            (SENDER, "/devices/lamp-1/methods/devicebound"),
            (SENDER, "/devices/lamp-1/messages/devicebound"),
            (RECEIVER, EVENTS),
            (SENDER, "/devices/lamp-1/modules/m/messages/events"),
        ],
    )
    async def test_what_the_hub_has_not_yet(self, scene: AmqpScene, role: bool, address: str) -> None:
        script = await by_token(scene)
        script.says(attach(2, role, address))
        assert (await refused(script))[0] == "amqp:not-implemented"

    @pytest.mark.parametrize("device", ["lamp-9", "LAMP-1", "...", "a%20b"])
    async def test_no_such_device(self, scene: AmqpScene, device: str) -> None:
        script = await by_token(scene)
        script.says(attach(2, SENDER, f"/devices/{device}/messages/events"))
        assert (await refused(script))[0] == "amqp:unauthorized-access"

    async def test_java_attaches_both_at_once_and_hears_nothing(self, scene: AmqpScene, lines: Any) -> None:
        """AmqpsSessionHandler.java opens the telemetry links of both directions together."""
        script = await by_token(scene)
        script.says(
            attach(2, SENDER, EVENTS),
            attach(3, RECEIVER, "/devices/lamp-1/messages/deviceBound"),
            flow(3, 10),
        )
        heard = [await script.hears("attach"), await script.hears("attach")]
        assert {frame[1] for frame in heard} == {2, 3}
        assert len(scene.sessions) == 1
        assert [line for line in lines if line["event"] == "hub-link-silent"]

    async def test_several_devices_share_a_connection(self, scene: AmqpScene) -> None:
        """C# AmqpConnectionPool.cs: a session for each, with links of the same names."""
        await scene.world.enroll(DeviceId("lamp-2"))
        script = await by_token(scene)
        second = scene.world.token(f"{HOST}/devices/lamp-2")
        script.says(settled(0), transfer(0, 1, put_token(second, t.string("2"))))
        assert (await answer(script)).application["status-code"] == 200
        script.says(begin(1), begin(2))
        await script.hears("begin")
        await script.hears("begin")
        for channel, device in ((1, "lamp-1"), (2, "lamp-2")):
            address = f"/devices/{device}/messages/events"
            script.says(attach(0, SENDER, address, name="TelemetrySenderLink", channel=channel))
            await script.hears("attach")
            script.says(transfer(0, 0, m.encode(device.encode()), channel=channel))
            await script.hears("disposition")
        assert {(row.device_id.text, row.body) for row in await scene.stored()} == {
            ("lamp-1", b"lamp-1"),
            ("lamp-2", b"lamp-2"),
        }
        script.says(end(2))
        await script.hears("end")
        assert (scene.sessions.connected(LAMP), scene.sessions.connected(DeviceId("lamp-2"))) == (True, False)


class TestMessages:
    async def test_properties_of_every_kind(self, scene: AmqpScene) -> None:
        """Node amqp_message.js: ids that look like UUIDs travel as such; annotations and the hub's own properties."""
        script = await by_token(scene)
        await attached(script)
        payload = m.encode(
            b'{"t":1}',
            properties=m.Properties(
                message_id=t.uuid(UUID(UUID_TEXT)),
                user_id=b"me",
                to=EVENTS,
                correlation_id=t.string("c"),
                content_type="application/json",
                content_encoding="utf-8",
                absolute_expiry_ms=1_800_000_000_000,
            ),
            application={
                "line": t.string("7/ä"),
                "count": t.uint(3),
                "good": t.boolean(True),
                "none": t.NULL,
                "iothub-ack": t.string("full"),
                "iothub-creation-time-utc": t.string("2026-01-01T00:00:00Z"),
            },
            annotations={
                "iothub-interface-id": t.string("urn:azureiot:Security"),
                "dt-subject": t.string("part"),
            },
        )
        script.says(transfer(2, 1, payload))
        assert (await script.hears("disposition"))[4].descriptor == ACCEPTED
        (message,) = await scene.stored()
        assert message.properties == {
            "line": "7/ä", "count": "3", "good": "true", "none": "", "iothub-ack": "full",
        }  # fmt: skip
        said = {
            name: value for name, value in message.system.items() if not name.startswith("iothub-connection")
        }
        assert said == {
            "message-id": UUID_TEXT,
            "correlation-id": "c",
            "user-id": "me",
            "to": EVENTS,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "absolute-expiry-time": "2027-01-15T08:00:00.0000000Z",
            "iothub-interface-id": "urn:azureiot:Security",
            "dt-subject": "part",
            "creation-time-utc": "2026-01-01T00:00:00Z",
            "iothub-enqueuedtime": said["iothub-enqueuedtime"],
            "iothub-message-source": "Telemetry",
        }

    async def test_a_batch_is_many_messages_and_one_delivery(self, scene: AmqpScene) -> None:
        """AmqpIotSendingLink.cs: message-format 0x80013700."""
        script = await by_token(scene)
        await attached(script)
        parts = b"".join(t.described(0x75, t.binary(m.encode(b"%d" % number))) for number in range(50))
        script.says(transfer(2, 1, parts, message_format=0x80013700))
        assert (await script.hears("disposition"))[4].descriptor == ACCEPTED
        assert [message.body for message in await scene.stored()] == [b"%d" % number for number in range(50)]

    async def test_a_message_in_parts(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        body = bytes(200_000)
        payload = m.encode(body)
        pieces = [payload[at : at + 50_000] for at in range(0, len(payload), 50_000)]
        for piece in pieces[:-1]:
            script.says(transfer(2, 1, piece, more=True))
        script.says(transfer(2, 1, pieces[-1]))
        await script.hears("disposition")
        assert (await scene.stored())[0].body == body

    @pytest.mark.parametrize(
        ("payload", "condition"),
        [
            (b"\xff\xff", "amqp:decode-error"),
            (m.encode(bytes(262_145)), "amqp:link:message-size-exceeded"),
            (m.encode(b"", application={"a": t.sequence()}), "com.microsoft:argument-error"),
            (m.encode(b"", properties=m.Properties(absolute_expiry_ms=2**60)), "amqp:decode-error"),
        ],
    )
    async def test_a_message_that_is_not_kept_is_rejected_by_itself(
        self, scene: AmqpScene, payload: bytes, condition: str
    ) -> None:
        script = await by_token(scene)
        await attached(script)
        pieces = [payload[at : at + 60_000] for at in range(0, len(payload), 60_000)]
        for piece in pieces[:-1]:
            script.says(transfer(2, 1, piece, more=True))
        script.says(transfer(2, 1, pieces[-1]))
        told = await script.hears("disposition")
        assert told[4].descriptor == REJECTED
        assert told.error[0] == condition
        script.says(transfer(2, 2, m.encode(b"good")))
        assert (await script.hears("disposition"))[4].descriptor == ACCEPTED
        assert [message.body for message in await scene.stored()] == [b"good"]

    async def test_a_giant_ends_the_link(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        for _ in range(MAX_DELIVERY_BYTES // 60_000 + 1):
            script.says(transfer(2, 1, bytes(60_000), more=True))
        assert (await script.hears("detach")).error[0] == "amqp:link:message-size-exceeded"

    async def test_settled_messages_are_kept_too(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        for number in range(CREDIT + 20):
            script.says(transfer(2, number + 1, m.encode(b"x"), settled=True))
            if number % 40 == 39:
                await script._settle()
                await scene.devices.in_flight.drained()
                await script._settle()
        await scene.devices.in_flight.drained()
        assert len(await scene.stored()) == CREDIT + 20


class TestSessions:
    async def test_a_newer_connection_takes_the_place(self, scene: AmqpScene, lines: Any) -> None:
        first = await by_token(scene)
        await attached(first)
        second = await by_token(scene)
        await attached(second)
        assert (await first.hears("detach")).error == ("amqp:link:stolen", TAKEN_OVER)
        await first.hears("close")
        await first.is_closed()
        second.says(transfer(2, 1, m.encode(b"x")))
        await second.hears("disposition")

    async def test_the_end_of_the_token_ends_the_links(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        (device,) = script.connection._conversations[script.connection._doors.hub]._devices.values()
        scene.world.clock.advance(3_601)
        device._end_if_due()
        assert (await script.hears("detach")).error[0] == "amqp:unauthorized-access"
        assert len(scene.sessions) == 0
        # A token in time opens them again.
        script.says(settled(0), transfer(0, 1, put_token(scene.world.token(), t.string("2"))))
        await answer(script)
        await attached(script, 3)

    async def test_a_lost_connection_ends_the_session(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        assert len(scene.sessions) == 1
        script.transport.abort()
        await asyncio.sleep(0)
        assert len(scene.sessions) == 0

    async def test_a_detached_link_ends_it_too(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        script.says(detach(2))
        await script.hears("detach")
        assert len(scene.sessions) == 0

    async def test_when_the_service_stops_messages_are_settled_first(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        script.says(*(transfer(2, number, m.encode(b"x")) for number in range(1, 6)))
        script.connection.drain()
        settled_count = 0
        while (heard := await script._next()).name != "close":
            if heard.name == "disposition":
                settled_count += (heard[2] or heard[1]) - heard[1] + 1
        assert settled_count == 5
        assert heard.error == ("amqp:connection:forced", STOPS)
        assert len(await scene.stored()) == 5

    async def test_the_hub_cuts_everybody(self, scene: AmqpScene) -> None:
        script = await by_token(scene)
        await attached(script)
        await scene.devices.close()
        assert (await script.hears("detach")).error == ("amqp:connection:forced", STOPS)
        await script.hears("close")
        await script.is_closed()
