"""The rules of DPS's conversation; whole conversations are in tests/wire_scripts."""

from __future__ import annotations

import asyncio
import re

import pytest

from accredit.domain.errors import Refused, Throttled
from accredit.domain.evidence import PresentedChain, SasToken
from accredit.domain.registration import Answer as Outcome
from accredit.fronts.mqtt import MqttConnection
from accredit.fronts.mqtt_dps import ACKNOWLEDGE_S, MAX_AT_ONCE, DpsConversations
from accredit.wire import mqtt, sas
from accredit.wire.api_versions import API_VERSIONS
from accredit.wire.mqtt import ConnAck, Connect, PubAck, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.logs import capture_logs
from support.mqtt_transcript import Answer, Line, Transcript, client, closed, gone, server
from support.passing_time import passes
from support.scripted_provisioning import ID_SCOPE, OPERATION, ScriptedProvisioning, assigned, assigning

RESPONSES = "$dps/registrations/res/#"
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid="
STATUS = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid="
USER_NAME = f"{ID_SCOPE}/registrations/dev-1/api-version=2019-03-31&ClientVersion=x"
TOKEN = sas.make(f"{ID_SCOPE}/registrations/dev-1", b"k" * 32, 1_900_000_000, None).encode()


class Scene:
    def __init__(self, *script: Outcome | Exception, peer_chain: tuple[bytes, ...] = ()) -> None:
        self.provisioning = ScriptedProvisioning(*script)
        self.conversations = DpsConversations(self.provisioning, HandClock(), CountedEntropy())
        self.transcript = Transcript(
            lambda: MqttConnection(self.conversations, self.conversations), peer_chain=peer_chain
        )
        self.play = self.transcript.play

    async def ready(self, user_name: str = USER_NAME, password: bytes | None = TOKEN, qos: int = 1) -> None:
        await self.play(
            client >> Connect("dev-1", user_name, password),
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, qos),)),
            server << SubAck(1, (min(qos, 1),)),
        )


def register(rid: str = "1", body: bytes = b"", packet_id: int = 2) -> Line:
    return client >> Publish(REGISTER + rid, body, 1, packet_id)


THROTTLED = Throttled("Too many requests.", rule="source-throttled", retry_after_s=7)


class TestConnect:
    @pytest.mark.parametrize(
        ("client_id", "user_name", "code", "rule"),
        [
            ("dev-1", "0neOTHER/registrations/dev-1/api-version=2019-03-31", 5, "id-scope"),
            ("dev-1", ID_SCOPE.lower() + "/registrations/dev-1/api-version=2019-03-31", 5, "id-scope"),
            ("dev-2", USER_NAME, 2, "id-mismatch"),
            ("dev_1.", f"{ID_SCOPE}/registrations/dev_1./", 2, "id-grammar"),
            ("d" * 129, f"{ID_SCOPE}/registrations/{'d' * 129}/", 2, "id-grammar"),
            ("dev-1", "dev-1", 4, "user-name"),
        ],
    )
    async def test_refusals(self, client_id: str, user_name: str, code: int, rule: str) -> None:
        scene = Scene()
        await scene.play(
            client >> Connect(client_id, user_name), server << ConnAck(False, code), server << closed
        )
        ((heard, claimed, _, _),) = scene.provisioning.unreads
        assert heard == rule
        assert 1 <= len(claimed) <= 128

    @pytest.mark.parametrize("user_name", ["dev-1", "0neOTHER/registrations/dev-1/", USER_NAME])
    async def test_a_source_that_fails_too_often_is_told_to_try_later(self, user_name: str) -> None:
        """CONNACK 3: the SDKs take every other code for the end."""
        scene = Scene()
        scene.provisioning.throttles = THROTTLED
        await scene.play(
            client >> Connect("another", user_name), server << ConnAck(False, 3), server << closed
        )

    async def test_the_client_id_ignores_case(self) -> None:
        await Scene().play(client >> Connect("DEV-1", USER_NAME), server << ConnAck(False, 0))

    async def test_a_kept_session_is_never_claimed(self) -> None:
        await Scene().play(
            client >> Connect("dev-1", USER_NAME, TOKEN, clean_session=False), server << ConnAck(False, 0)
        )


class TestSubscribe:
    async def test_only_the_responses_and_at_most_qos_1(self) -> None:
        await Scene().play(
            client >> Connect("dev-1", USER_NAME),
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 2), ("#", 1), ("$dps/registrations/res/200/#", 0))),
            server << SubAck(1, (1, 0x80, 0x80)),
        )

    async def test_without_a_subscription_nothing_is_delivered(self) -> None:
        scene = Scene(assigned(), assigned(), assigned())
        await scene.play(
            client >> Connect("dev-1", USER_NAME),
            server << ConnAck(False, 0),
            register(),
            server << PubAck(2),
        )
        await scene.play(
            client >> Subscribe(3, ((RESPONSES, 1),)),
            server << SubAck(3, (1,)),
            client >> Unsubscribe(4, ("#",)),
            server << UnsubAck(4),
            register("2", packet_id=5),
            server << PubAck(5),
            server << Answer(200, "2", 1, {"status": "assigned"}),
            client >> Unsubscribe(6, (RESPONSES,)),
            server << UnsubAck(6),
            register("3", packet_id=7),
            server << PubAck(7),
        )


class TestEvidence:
    async def test_a_token_counts_before_a_certificate(self) -> None:
        scene = Scene(assigned(), peer_chain=(b"leaf",))
        await scene.ready()
        await scene.play(register(), server << PubAck(2), server << Answer(200, "1", 1, {}))
        evidence = scene.provisioning.registers[0].evidence
        assert isinstance(evidence, SasToken)
        assert evidence.resource == f"{ID_SCOPE}/registrations/dev-1"

    @pytest.mark.parametrize("password", [None, b""])
    async def test_no_password_leaves_the_certificate(self, password: bytes | None) -> None:
        scene = Scene(assigned(), peer_chain=(b"leaf", b"issuer"))
        await scene.ready(password=password)
        await scene.play(register(), server << PubAck(2), server << Answer(200, "1", 1, {}))
        assert scene.provisioning.registers[0].evidence == PresentedChain((b"leaf", b"issuer"))

    @pytest.mark.parametrize("password", [b"secret", b"\xff", TOKEN + b"&sr=twice"])
    async def test_a_token_that_cannot_be_read_is_told_on_the_topic(self, password: bytes) -> None:
        scene = Scene(peer_chain=(b"leaf",))
        await scene.ready(password=password)
        await scene.play(
            register(), server << PubAck(2), server << Answer(401, "1", 1, {"errorCode": 401002})
        )
        assert scene.provisioning.registers == []
        assert [unread[:2] for unread in scene.provisioning.unreads] == [("sas-malformed", "dev-1")]

    async def test_where_the_source_fails_too_often_it_is_told_when_to_come_back(self) -> None:
        scene = Scene(peer_chain=(b"leaf",))
        scene.provisioning.throttles = THROTTLED
        await scene.ready(password=b"secret")
        await scene.play(
            register(),
            server << PubAck(2),
            server << Answer(429, "1", 1, {"errorCode": 429001}, retry_after_s=7),
        )


class TestRequests:
    @pytest.mark.parametrize("version", sorted(API_VERSIONS))
    async def test_every_known_api_version(self, version: str) -> None:
        scene = Scene(assigned())
        await scene.ready(f"{ID_SCOPE}/registrations/dev-1/api-version={version}")
        await scene.play(register(), server << PubAck(2), server << Answer(200, "1", 1, {}))
        assert scene.provisioning.registers[0].api_version == version

    @pytest.mark.parametrize("query", ["api-version=2017-01-01", "ClientVersion=x", ""])
    async def test_an_unknown_api_version_is_told_on_the_topic(self, query: str) -> None:
        scene = Scene()
        await scene.ready(f"{ID_SCOPE}/registrations/dev-1/{query}")
        await scene.play(
            register(), server << PubAck(2), server << Answer(400, "1", 1, {"errorCode": 400004})
        )

    @pytest.mark.parametrize("body", [b"not json", b"[]", b'{"registrationId": "dev-2"}', b"\xff"])
    async def test_a_body_that_does_not_fit(self, body: bytes) -> None:
        scene = Scene()
        await scene.ready()
        await scene.play(
            register(body=body), server << PubAck(2), server << Answer(400, "1", 1, {"errorCode": 400004})
        )

    async def test_the_body_is_handed_on(self) -> None:
        scene = Scene(assigned())
        await scene.ready()
        body = b'{"registrationId": "DEV-1", "clientCertificateCsr": "pem", "payload": {"x": [1]}}'
        await scene.play(register(body=body), server << PubAck(2), server << Answer(200, "1", 1, {}))
        (request,) = scene.provisioning.registers
        assert request.registration_id.text == "dev-1"
        assert request.csr_fields == (("clientCertificateCsr", "pem"),)
        assert request.payload == b'{"x": [1]}'
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", request.tracking_id
        )

    @pytest.mark.parametrize(
        "topic",
        [
            "$dps/registrations/DELETE/iotdps-register/?$rid=1",
            "devices/dev-1/messages/events/",
            "$dps/registrations/PUT/iotdps-register/",
        ],
    )
    async def test_an_unknown_topic_ends_the_connection_unacknowledged(self, topic: str) -> None:
        scene = Scene()
        await scene.ready()
        await scene.play(client >> Publish(topic, b"", 1, 2), server << closed)


class TestAnswers:
    async def test_retry_after_of_a_refusal(self) -> None:
        scene = Scene(Throttled("Too many requests.", rule="source-throttled", retry_after_s=7))
        await scene.ready()
        await scene.play(
            register(),
            server << PubAck(2),
            server << Answer(429, "1", 1, {"errorCode": 429001}, retry_after_s=7),
        )

    async def test_a_defect_is_answered_without_its_text(self) -> None:
        scene = Scene(RuntimeError("inner text"))
        await scene.ready()
        with capture_logs() as logs:
            scene.transcript.connection.data_received(mqtt.encode(Publish(REGISTER + "1", b"", 0)))
            for _ in range(5):
                await asyncio.sleep(0)
        written = bytes(scene.transcript.transport.written)
        await scene.play(server << Answer(500, "1", 1, {"message": "Internal error"}, retry_after_s=30))
        assert b"inner text" not in written
        (line,) = logs
        assert (line["event"], line["log_level"], line["exc_info"]) == ("mqtt-dps-failed", "error", True)

    async def test_every_refusal_has_a_body_that_is_json(self) -> None:
        """The Node SDK parses it whatever the status."""
        scene = Scene(Refused("No.", rule="no-hub"))
        await scene.ready()
        await scene.play(
            register(),
            server << PubAck(2),
            server
            << Answer(
                400,
                "1",
                1,
                {"errorCode": 400208, "message": "No.", "timestampUtc": "2027-01-15T08:00:00.0000000Z"},
            ),
        )

    async def test_a_wildcard_in_the_request_id_does_not_reach_the_topic(self) -> None:
        scene = Scene(assigned())
        await scene.ready()
        await scene.play(register("a$+#b"), server << PubAck(2), server << Answer(200, "a%24%2B%23b", 1, {}))


class TestSeveralAtOnce:
    async def test_they_are_answered_as_they_end_and_bounded(self) -> None:
        scene = Scene(*(assigning() for _ in range(MAX_AT_ONCE)), assigned())
        await scene.ready()
        scene.provisioning.gate.clear()
        for number in range(MAX_AT_ONCE):
            await scene.play(register(f"r{number}", packet_id=10 + number), server << PubAck(10 + number))
        await scene.play(
            register("one-more", packet_id=20),
            server << PubAck(20),
            server << Answer(429, "one-more", 1, {"errorCode": 429001}, retry_after_s=2),
        )
        assert [unread[0] for unread in scene.provisioning.unreads] == ["connection-requests"]
        scene.provisioning.gate.set()
        await scene.play(
            *(
                server << Answer(202, f"r{number}", 2 + number, {"status": "assigning"}, retry_after_s=3)
                for number in range(MAX_AT_ONCE)
            ),
            register("later", packet_id=21),
            server << PubAck(21),
            server << Answer(200, "later", 6, {"status": "assigned"}),
        )

    async def test_a_request_goes_on_when_its_device_has_gone(self) -> None:
        scene = Scene(assigned())
        await scene.ready()
        scene.provisioning.gate.clear()
        await scene.play(register(), server << PubAck(2), client >> gone)
        (task,) = scene.conversations.tasks
        scene.provisioning.gate.set()
        await task
        assert scene.provisioning.script == []
        assert scene.transcript.transport.written == b""
        assert scene.conversations.tasks == set()


class TestAcknowledgement:
    async def test_it_travels_with_an_answer_that_comes_soon(self) -> None:
        scene = Scene(assigned())
        await scene.ready()
        before = scene.transcript.transport.writes
        await scene.play(register(), server << PubAck(2), server << Answer(200, "1", 1, {}))
        assert scene.transcript.transport.writes == before + 1

    async def test_it_does_not_wait_for_one_that_takes_its_time(self) -> None:
        scene = Scene(assigned())
        await scene.ready()
        scene.provisioning.gate.clear()
        await scene.play(register())
        passes(ACKNOWLEDGE_S)
        await scene.play(server << PubAck(2))
        scene.provisioning.gate.set()
        await scene.play(server << Answer(200, "1", 1, {}))

    async def test_what_came_before_is_acknowledged_before(self) -> None:
        """MQTT-4.6.0-2: in the order in which the PUBLISHes came, whichever is answered first."""
        scene = Scene(*(assigning() for _ in range(MAX_AT_ONCE)))
        await scene.ready()
        scene.provisioning.gate.clear()
        numbers = range(10, 10 + MAX_AT_ONCE)
        await scene.play(*(register(f"r{number}", packet_id=number) for number in numbers))
        await scene.play(
            register("one-more", packet_id=20),
            *(server << PubAck(number) for number in (*numbers, 20)),
            server << Answer(429, "one-more", 1, {}, retry_after_s=2),
        )


class TestDrain:
    async def test_without_a_request_the_connection_closes(self) -> None:
        scene = Scene()
        await scene.ready()
        scene.transcript.connection.drain()
        await scene.play(server << closed)

    async def test_a_request_in_hand_is_answered_first(self) -> None:
        scene = Scene(assigned())
        await scene.ready()
        scene.provisioning.gate.clear()
        await scene.play(register(), server << PubAck(2))
        scene.transcript.connection.drain()
        await scene.play()
        scene.provisioning.gate.set()
        await scene.play(server << Answer(200, "1", 1, {"status": "assigned"}), server << closed)


class TestStatus:
    async def test_the_operation_is_asked_for_and_the_body_is_not_read(self) -> None:
        scene = Scene(assigned())
        await scene.ready()
        await scene.play(
            client >> Publish(f"{STATUS}1&operationId={OPERATION}", b"not json", 1, 2),
            server << PubAck(2),
            server << Answer(200, "1", 1, {"operationId": OPERATION}),
        )
        ((request, operation_id),) = scene.provisioning.queries
        assert operation_id == OPERATION
        assert (request.csr_fields, request.payload) == ((), None)
