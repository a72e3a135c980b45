"""One AMQP connection before strangers: headers, logins, frames, links and credit that are not as they should be.

Every case ends in the AMQP error that the standard names for it, or in a closed connection, with one log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accredit.fronts.amqp import MAX_REFUSED_LINKS, Patience
from accredit.fronts.amqp_dps import CREDIT, MAX_MESSAGE_BYTES
from accredit.fronts.amqp_login import MAX_HELD_BYTES
from accredit.wire import amqp_sasl as sasl
from accredit.wire import amqp_types as t
from accredit.wire import sas
from accredit.wire.amqp_sasl import AMQP_HEADER, SASL_HEADER
from support.amqp_messages import register
from support.amqp_scenes import AmqpScene, amqp_scene
from support.amqp_script import (
    HEARTBEAT,
    RECEIVER,
    SENDER,
    AmqpScript,
    attach,
    begin,
    close,
    detach,
    end,
    flow,
    frame,
    open_,
    transfer,
)
from support.logs import capture_logs
from support.passing_time import PATIENCE_S, SILENCE_S, passes
from support.scripted_provisioning import ID_SCOPE, assigned
from support.waiting import until

ADDRESS = f"{ID_SCOPE}/registrations/dev-1"
TOKEN = sas.make(ADDRESS, b"k" * 32, 1_900_000_000, None)
HUB_TOKEN = sas.make("hub.example/devices/lamp-1", b"k" * 32, 1_900_000_000, None)
PLAIN = sasl.Init("PLAIN", sasl.plain(ADDRESS, TOKEN))
API = {"com.microsoft:api-version": "2019-03-31"}
CHAIN = (b"a certificate",)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[AmqpScene]:
    made = await amqp_scene(tmp_path)
    yield made
    await made.close()


@pytest.fixture
def lines() -> Any:
    with capture_logs() as captured:
        yield captured


def events(lines: Any, name: str) -> list[Any]:
    return [line for line in lines if line["event"] == name]


async def linked(scene: AmqpScene, **limits: Any) -> AmqpScript:
    """A device whose sending link 0 and receiving link 1 are attached."""
    script = scene.script(peer_chain=CHAIN, **limits)
    await script.begins()
    script.says(attach(0, SENDER, ADDRESS, properties=API), attach(1, RECEIVER, ADDRESS), flow(1, 100))
    for name in ("attach", "attach", "flow"):
        await script.hears(name)
    return script


class TestHeaders:
    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"AMQP\x02\x01\x00\x00",
            b"AMQP\x00\x00\x09\x01",
            b"AMQP\x03\x00\x09\x01",
            b"\x16\x03\x01\x00\x00",
            b"\x00" * 8,
            b"A" * 8,
            b"X",
        ],
    )
    async def test_another_protocol_hears_which_is_spoken(
        self, scene: AmqpScene, data: bytes, lines: Any
    ) -> None:
        script = scene.script()
        script.says(data)
        await script.hears_header(SASL_HEADER)
        await script.is_closed()
        assert len(events(lines, "amqp-closed")) == 1

    async def test_a_header_may_come_in_pieces(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.drips(AMQP_HEADER, open_(), begin())
        await script.hears_header(AMQP_HEADER)
        await script.hears("open")
        await script.hears("begin")

    async def test_sasl_again_after_sasl(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.says(SASL_HEADER, PLAIN, SASL_HEADER)
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        assert await script.hears_sasl() == sasl.Outcome(sasl.OK)
        await script.hears_header(AMQP_HEADER)
        await script.is_closed()

    async def test_an_eof_ends_it(self, scene: AmqpScene) -> None:
        script = scene.script()
        assert script.connection.eof_received() is False


class TestLogin:
    @pytest.mark.parametrize(
        ("init", "rule"),
        [
            (sasl.Init("SCRAM-SHA-256", b"x"), "amqp-sasl"),
            (sasl.Init("TPM", b"x"), "amqp-sasl"),
            (sasl.Init("", b"x"), "amqp-sasl"),
            (sasl.Init("PLAIN", b""), "amqp-sasl"),
            (sasl.Init("PLAIN", b"\x00\xff\x00x"), "amqp-sasl"),
            (sasl.Init("PLAIN", sasl.plain("nobody", TOKEN)), "amqp-user-name"),
            (sasl.Init("PLAIN", sasl.plain("0neOTHER/registrations/dev-1", TOKEN)), "id-scope"),
            (sasl.Init("PLAIN", sasl.plain(f"{ID_SCOPE}/registrations/...", TOKEN)), "id-grammar"),
            (sasl.Init("PLAIN", sasl.plain(ADDRESS, "secret")), "sas-malformed"),
            (sasl.Init("PLAIN", sasl.plain("lamp-1@sas.hub", "secret")), "sas-malformed"),
            (sasl.Init("PLAIN", sasl.plain("lamp-1@sas.other", TOKEN)), "hub-host-name"),
            (sasl.Init("PLAIN", sasl.plain("lamp-1@sas.hub", HUB_TOKEN)), "hub-device-unknown"),
            (sasl.Init("PLAIN", sasl.plain("iothubowner@sas.root.hub", TOKEN)), "hub-user-name"),
            (sasl.Init("EXTERNAL"), "nothing-shown"),
        ],
    )
    async def test_who_may_not_enter_is_told_no_more(
        self, scene: AmqpScene, init: sasl.Init, rule: str, lines: Any
    ) -> None:
        script = scene.script()
        script.says(SASL_HEADER)
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        script.says(init)
        assert await script.hears_sasl() == sasl.Outcome(sasl.AUTH)
        await script.is_closed()
        # A registration's refusals are heard of by provisioning, which logs and counts them.
        logged = [line["rule"] for line in events(lines, "amqp-login-refused")]
        assert logged + [unread[0] for unread in scene.provisioning.unreads] == [rule]
        assert "secret" not in str(lines)

    @pytest.mark.parametrize(
        "data",
        [
            b"\xff" * 64,
            sasl.encode(sasl.Response(b"out of turn")),
            sasl.encode(sasl.Outcome(0)),
            b"\x00\x00\x40\x00\x02\x01\x00\x00",
            b"\x00" * 8,
        ],
    )
    async def test_garbage_for_a_login(self, scene: AmqpScene, data: bytes, lines: Any) -> None:
        script = scene.script()
        script.says(SASL_HEADER, data)
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        assert await script.hears_sasl() == sasl.Outcome(sasl.AUTH)
        await script.is_closed()
        assert len(events(lines, "amqp-login-refused")) == 1

    async def test_a_client_may_be_asked_for_its_first_response(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.says(SASL_HEADER, sasl.Init("PLAIN"))
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        assert await script.hears_sasl() == sasl.Challenge(b"")
        script.says(sasl.Response(sasl.plain(ADDRESS, TOKEN)))
        assert await script.hears_sasl() == sasl.Outcome(sasl.OK)
        await script.begins()

    async def test_a_challenge_that_is_answered_by_a_new_choice(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.says(SASL_HEADER, sasl.Init("PLAIN"))
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        await script.hears_sasl()
        script.says(PLAIN)
        assert await script.hears_sasl() == sasl.Outcome(sasl.AUTH)
        await script.is_closed()

    async def test_a_client_that_goes_while_it_is_asked(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.says(SASL_HEADER, sasl.Init("PLAIN"))
        await script.hears_header(SASL_HEADER)
        script.transport.abort()
        await asyncio.sleep(0)

    async def test_a_flood_while_the_login_is_judged(self, scene: AmqpScene) -> None:
        script = scene.script()
        user = sasl.Init("PLAIN", sasl.plain("lamp-1@sas.hub", scene.world.token()))
        script.says(SASL_HEADER, user, b"x" * (MAX_HELD_BYTES + 1))
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        assert await script.hears_sasl() == sasl.Outcome(sasl.AUTH)
        await script.is_closed()

    @pytest.mark.parametrize("mechanism", ["ANONYMOUS", "MSSBCBS"])
    async def test_who_says_nothing_may_enter(self, scene: AmqpScene, mechanism: str) -> None:
        script = scene.script()
        await script.logs_in(sasl.Init(mechanism, b"anonymous"))

    async def test_external_is_the_certificate(self, scene: AmqpScene) -> None:
        scene.answers(assigned())
        script = scene.script(peer_chain=CHAIN)
        await script.logs_in(sasl.Init("EXTERNAL", b""))
        assert script.connection.peer.evidence is not None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=120))
async def test_any_bytes_end_well(scene: AmqpScene, data: bytes) -> None:
    """Before, in and after a login, and as frames: nothing a stranger sends comes back as an exception."""
    for prefix in (b"", SASL_HEADER, AMQP_HEADER, AMQP_HEADER + open_() + begin()):
        with capture_logs() as lines:
            script = scene.script()
            script.says(prefix + data)
            script.transport.abort()
            await asyncio.sleep(0)
        assert not [line for line in lines if line["log_level"] == "error"]


class TestFrames:
    @pytest.mark.parametrize(
        ("data", "condition"),
        [
            (b"\xff" * 100, "amqp:connection:framing-error"),
            (b"\x00\x00\x00\x01\x02\x00\x00\x00", "amqp:connection:framing-error"),
            ((1 << 20).to_bytes(4, "big") + b"\x02\x00\x00\x00" + bytes(1 << 17), "amqp:connection:framing-error"),
            (begin(99), "amqp:connection:framing-error"),
            (transfer(7, 0, b"x"), "amqp:invalid-field"),
            (frame(t.described(0x14, t.sequence(t.uint(0))), channel=5), "amqp:not-allowed"),
        ],
    )  # fmt: skip
    async def test_what_is_no_frame_ends_in_its_error(
        self, scene: AmqpScene, data: bytes, condition: str, lines: Any
    ) -> None:
        script = scene.script()
        await script.begins()
        script.says(data)
        told = await script.hears("close")
        assert told.error[0].startswith("amqp:"), told
        assert told.error[0] == condition
        await script.is_closed()
        assert len(events(lines, "amqp-closed")) == 1

    async def test_garbage_right_after_a_login(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.says(SASL_HEADER, PLAIN, AMQP_HEADER, b"\x13" * 40)
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        await script.hears_sasl()
        await script.hears_header(AMQP_HEADER)
        await script.hears("open")
        assert (await script.hears("close")).error[0] == "amqp:connection:framing-error"
        await script.is_closed()

    async def test_heartbeats_keep_nobody_from_anything(self, scene: AmqpScene) -> None:
        script = scene.script()
        await script.begins()
        script.says(HEARTBEAT, HEARTBEAT)
        await script.is_silent()

    async def test_an_endless_array_in_the_properties_of_a_link(self, scene: AmqpScene) -> None:
        """A map with an array of two thousand million nulls, in forty bytes."""
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        bomb = b"\xf0\x00\x00\x00\x05\x7f\xff\xff\xff\x40"
        script.says(
            attach(0, SENDER, ADDRESS, properties=t.mapping(t.symbol("com.microsoft:api-version"), bomb))
        )
        heard = await script._next()
        assert heard.name in ("attach", "close")


class TestLinks:
    @pytest.mark.parametrize("role", [SENDER, RECEIVER])
    @pytest.mark.parametrize("address", [None, "", "nowhere", "$management", "/messages/events", "x" * 5000])
    async def test_a_link_to_nowhere(
        self, scene: AmqpScene, address: str | None, role: bool, lines: Any
    ) -> None:
        script = scene.script()
        await script.begins()
        script.says(attach(0, role, address))
        echoed = await script.hears("attach")
        # AMQP 1.0, 2.6.3: a refused link is attached without the terminus.
        assert echoed[5 if role is RECEIVER else 6] is None
        assert (await script.hears("detach")).error[0] == "amqp:not-found"
        assert len(events(lines, "amqp-link-refused")) == 1
        script.says(detach(0), attach(1, SENDER, ADDRESS))
        await script.hears("attach")

    async def test_many_links_to_nowhere(self, scene: AmqpScene, lines: Any) -> None:
        script = scene.script()
        await script.begins()
        script.says(*(attach(number, SENDER, "nowhere") for number in range(MAX_REFUSED_LINKS + 1)))
        while (heard := await script._next()).name in ("attach", "detach"):
            pass
        assert heard.error[0] == "amqp:resource-limit-exceeded"
        await script.is_closed()
        assert len(events(lines, "amqp-link-refused")) == 1

    async def test_more_links_than_there_may_be(self, scene: AmqpScene) -> None:
        script = scene.script(peer_chain=CHAIN, links=4)
        await script.begins()
        script.says(*(attach(number, RECEIVER, ADDRESS) for number in range(5)))
        while (heard := await script._next()).name == "attach":
            pass
        assert heard.error == ("amqp:resource-limit-exceeded", "more than 4 links")
        await script.is_closed()

    async def test_links_that_come_and_go_hold_nothing(self, scene: AmqpScene) -> None:
        script = scene.script(peer_chain=CHAIN, links=4, sessions=2)
        await script.begins()
        for _ in range(20):
            script.says(
                attach(0, RECEIVER, ADDRESS),
                detach(0),
                begin(1),
                attach(0, RECEIVER, ADDRESS, channel=1),
                end(1),
            )
            heard = [(await script._next()).name for _ in range(5)]
            assert sorted(heard) == ["attach", "attach", "begin", "detach", "end"]
        assert script.connection._engine.links == 0

    @pytest.mark.parametrize(
        ("address", "condition"),
        [
            ("0neOTHER/registrations/dev-1", "amqp:unauthorized-access"),
            (f"{ID_SCOPE}/registrations/dev-2", "amqp:unauthorized-access"),
            (f"{ID_SCOPE}/registrations/...", "com.microsoft:argument-error"),
            ("/devices/dev-1/messages/events", "amqp:unauthorized-access"),
        ],
    )
    async def test_a_link_that_the_login_is_not_for(
        self, scene: AmqpScene, address: str, condition: str
    ) -> None:
        script = scene.script()
        await script.logs_in(PLAIN)
        script.says(attach(0, SENDER, address))
        await script.hears("attach")
        assert (await script.hears("detach")).error[0] == condition

    async def test_a_second_registration_on_one_connection(self, scene: AmqpScene) -> None:
        script = await linked(scene)
        script.says(attach(2, SENDER, f"{ID_SCOPE}/registrations/dev-2"))
        await script.hears("attach")
        assert (await script.hears("detach")).error[0] == "amqp:not-allowed"


class TestCredit:
    async def test_a_transfer_without_credit(self, scene: AmqpScene, lines: Any) -> None:
        scene.provisioning.gate.clear()
        scene.answers(*[assigned()] * 100)
        script = await linked(scene)
        script.says(*(transfer(0, number, b"") for number in range(CREDIT + 1)))
        assert (await script.hears("close")).error[0] == "amqp:link:transfer-limit-exceeded"
        await script.is_closed()
        assert len(events(lines, "amqp-closed")) == 1
        scene.provisioning.gate.set()

    async def test_a_flood_without_credit_is_not_kept(self, scene: AmqpScene) -> None:
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        script.says(attach(0, RECEIVER, ADDRESS))
        await script.hears("attach")
        # The peer is the receiver of this link, and sends on it nevertheless.
        script.says(*(transfer(0, number, bytes(1000)) for number in range(10)))
        assert (await script.hears("close")).error[0] == "amqp:not-allowed"
        await script.is_closed()

    async def test_a_message_that_does_not_end(self, scene: AmqpScene) -> None:
        script = await linked(scene)
        part = bytes(60_000)
        for _ in range(MAX_MESSAGE_BYTES // len(part) + 1):
            script.says(transfer(0, 0, part, more=True))
        assert (await script.hears("detach")).error[0] == "amqp:link:message-size-exceeded"
        # What is on its way is dropped, and the connection lives.
        for _ in range(20):
            script.says(transfer(0, 0, part, more=True))
        script.says(transfer(0, 0, part))
        await script.hears("disposition")
        await script.is_silent()

    async def test_a_message_that_is_taken_back(self, scene: AmqpScene) -> None:
        scene.answers(assigned())
        script = await linked(scene)
        script.says(transfer(0, 0, b"half", more=True), transfer(0, 0, b"", aborted=True))
        await script._settle()
        assert scene.provisioning.registers == []
        assert not script.transport.closing

    async def test_answers_that_nobody_takes(self, scene: AmqpScene) -> None:
        """No credit on the link to answer on: what waits there has an end, and it is the connection's."""
        scene.answers(*[assigned()] * 10)
        script = scene.script(peer_chain=CHAIN, unsent=2)
        await script.begins()
        script.says(attach(0, SENDER, ADDRESS, properties=API), attach(1, RECEIVER, ADDRESS))
        for number in range(3):
            script.says(transfer(0, number, register()))
        while (heard := await script._next()).name != "close":
            pass
        assert heard.error[0] == "amqp:resource-limit-exceeded"

    async def test_a_link_is_drained(self, scene: AmqpScene) -> None:
        """AMQP 1.0, 2.6.7: with drain the sender uses its credit up."""
        script = await linked(scene)
        script.says(flow(1, 100, drain=True))
        told = await script.hears("flow")
        assert (told[6], told[8]) == (0, True)


class TestDeadlines:
    @pytest.mark.parametrize(
        "data",
        [b"", b"AMQP", SASL_HEADER, SASL_HEADER + sasl.encode(sasl.Init("PLAIN")), AMQP_HEADER, AMQP_HEADER + open_()[:5]],
    )  # fmt: skip
    async def test_half_open_in_every_state(self, tmp_path: Path, data: bytes, lines: Any) -> None:
        scene = await amqp_scene(tmp_path, Patience(login_s=0.02))
        script = scene.script()
        script.says(data)
        await until(lambda: script.transport.closing)
        assert len(events(lines, "amqp-closed")) == 1
        await scene.close()

    async def test_opened_and_then_nothing(self, tmp_path: Path) -> None:
        scene = await amqp_scene(tmp_path, Patience(idle_s=PATIENCE_S, certificate_s=3 * PATIENCE_S))
        script = scene.script()
        await script.begins()
        patient = scene.script(peer_chain=CHAIN)
        await patient.begins()
        passes(SILENCE_S)
        assert (await script.hears("close")).error[0] == "amqp:resource-limit-exceeded"
        await script.is_closed()
        await patient.is_silent()
        await scene.close()

    async def test_a_peer_that_falls_silent(self, scene: AmqpScene) -> None:
        script = scene.script(idle_s=PATIENCE_S)
        await script.begins()
        passes(SILENCE_S)
        assert (await script.hears("close")).error[0] == "amqp:resource-limit-exceeded"
        await script.is_closed()

    async def test_a_peer_that_wants_heartbeats_gets_them(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.says(AMQP_HEADER, open_(idle_ms=40))
        await script.hears_header(AMQP_HEADER)
        await script.hears("open")
        await script._until(8)
        assert bytes(script._data[:8]) == HEARTBEAT


class TestNagle:
    """rhea leaves Nagle's algorithm on: what gets no answer holds its next frame back by a delayed acknowledgement."""

    async def test_a_flow_is_answered_with_an_empty_frame(self, scene: AmqpScene) -> None:
        script = await linked(scene)
        await script.is_silent()
        script._data.clear()
        script.says(flow(1, 50))
        await script._until(8)
        assert bytes(script._data) == HEARTBEAT

    async def test_an_empty_frame_is_not(self, scene: AmqpScene) -> None:
        """Two ends that do so would never stop."""
        script = await linked(scene)
        await script.is_silent()
        script._data.clear()
        script.says(HEARTBEAT)
        await script._settle()
        assert not script._data

    async def test_nor_is_a_question_whose_answer_is_on_its_way(self, scene: AmqpScene) -> None:
        scene.answers(assigned())
        scene.provisioning.gate.clear()
        script = await linked(scene)
        await script.is_silent()
        script._data.clear()
        script.says(transfer(0, 0, register()))
        await script._settle()
        assert not script._data
        scene.provisioning.gate.set()
        await script.hears("disposition")


class TestDraining:
    async def test_an_idle_connection_is_closed(self, scene: AmqpScene) -> None:
        script = await linked(scene)
        script.connection.drain()
        assert (await script.hears("close")).error == ("amqp:connection:forced", "the service stops")
        await script.is_closed()

    async def test_what_was_asked_is_answered_first(self, scene: AmqpScene) -> None:
        scene.answers(assigned())
        scene.provisioning.gate.clear()
        script = await linked(scene)
        script.says(transfer(0, 0, register()))
        await script._settle()
        script.connection.drain()
        scene.provisioning.gate.set()
        await script.hears("disposition")
        await script.hears("transfer")
        assert (await script.hears("close")).error[0] == "amqp:connection:forced"
        await script.is_closed()

    async def test_before_the_engine_has_begun(self, scene: AmqpScene) -> None:
        script = scene.script()
        script.connection.drain()
        await script.is_closed()


class TestBackpressure:
    async def test_a_peer_that_does_not_read(self, scene: AmqpScene) -> None:
        scene.answers(assigned(), assigned())
        script = await linked(scene)
        script.connection.pause_writing()
        assert not script.transport.reading
        script.says(transfer(0, 0, register()))
        await script.is_silent()
        script.connection.resume_writing()
        await script.hears("disposition")
        await script.hears("transfer")
        assert script.transport.reading

    async def test_the_peer_says_goodbye(self, scene: AmqpScene) -> None:
        script = await linked(scene)
        script.says(close())
        await script.hears("close")
        await script.is_closed()

    async def test_after_its_end_nothing_is_taken(self, scene: AmqpScene) -> None:
        script = await linked(scene)
        script.says(close())
        await script.hears("close")
        script.says(begin(1))
        script.connection.drain()
        await script.is_closed()
