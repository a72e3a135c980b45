"""DPS over MQTT as each SDK speaks it, from CONNECT to its end, against the real connection and conversation.

What an SDK sends is taken from its source (named in each class); what it insists on is what the script demands.
"""

from __future__ import annotations

import pytest

from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import NothingShown, PresentedChain, SasToken
from accredit.domain.registration import Answer as Outcome
from accredit.fronts.mqtt import MqttConnection
from accredit.fronts.mqtt_dps import DpsConversations
from accredit.wire import sas
from accredit.wire.mqtt import ConnAck, Connect, Disconnect, PubAck, Publish, SubAck, Subscribe
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.mqtt_transcript import Answer, Transcript, client, closed, server
from support.scripted_provisioning import (
    ID_SCOPE,
    OPERATION,
    ScriptedProvisioning,
    assigned,
    assigning,
    disabled,
)

RESPONSES = "$dps/registrations/res/#"
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid="
STATUS = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid="
TOKEN = sas.make(f"{ID_SCOPE}/registrations/dev-1", b"k" * 32, 1_900_000_000, None).encode()
DONE = {
    "status": "assigned",
    "operationId": OPERATION,
    "registrationState.assignedHub": "hub.example",
    "registrationState.deviceId": "dev-1",
    "registrationState.substatus": "initialAssignment",
}


class Scene:
    """One device before one service."""

    def __init__(self, *script: Outcome | Exception, peer_chain: tuple[bytes, ...] = ()) -> None:
        self.provisioning = ScriptedProvisioning(*script)
        dps = DpsConversations(self.provisioning, HandClock(), CountedEntropy())
        self.transcript = Transcript(lambda: MqttConnection(dps, dps), peer_chain=peer_chain)
        self.play = self.transcript.play


class TestPython:
    """azure-iot-device 2.14: common/mqtt_transport.py, provisioning/pipeline."""

    CONNECT = Connect(
        "dev-1",
        f"{ID_SCOPE}/registrations/dev-1/api-version=2019-03-31"
        "&ClientVersion=azure-iot-device-provisioning-py%2F2.14.0%28Linux%29",
        TOKEN,
        clean_session=False,
        keep_alive_s=60,
    )
    RID = "b4a0d1f2-0a4f-4f0b-9a46-5bd5b1f5a6c1"

    async def test_assigned_at_once(self) -> None:
        scene = Scene(assigned())
        await scene.play(
            client >> self.CONNECT,
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + self.RID, b'{"registrationId": "dev-1", "payload": null}', 1, 2),
            server << PubAck(2),
            server << Answer(200, self.RID, 1, DONE),
            client >> PubAck(1),
            client >> Disconnect(),
            server << closed,
        )
        (request,) = scene.provisioning.registers
        assert isinstance(request.evidence, SasToken)
        assert request.payload is None
        assert request.api_version == "2019-03-31"
        assert request.source == "192.0.2.7"

    async def test_a_poll_with_everything_percent_encoded(self) -> None:
        scene = Scene(assigning(retry_after_s=3), assigned())
        await scene.play(
            client >> self.CONNECT,
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + self.RID, b'{"registrationId": "dev-1", "payload": {"a": 1}}', 1, 2),
            server << PubAck(2),
            server << Answer(202, self.RID, 1, {"status": "assigning", "operationId": OPERATION}, 3),
            client >> PubAck(1),
            client >> Publish(STATUS + f"r-2&operationId={OPERATION.replace('-', '%2D')}", b" ", 1, 3),
            server << PubAck(3),
            server << Answer(200, "r-2", 2, DONE),
            client >> PubAck(2),
            client >> Disconnect(),
            server << closed,
        )
        assert scene.provisioning.registers[0].payload == b'{"a": 1}'
        assert [operation for _, operation in scene.provisioning.queries] == [OPERATION]

    async def test_a_wrong_key_is_told_on_the_topic_and_may_try_again(self) -> None:
        """Checklist 24: provisioning_device_client.py keeps the connection after a failure and registers on it again."""
        scene = Scene(Unauthenticated("Unauthorized", rule="sas-signature"), assigned())
        await scene.play(
            client >> self.CONNECT,
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + "r-1", b'{"registrationId": "dev-1", "payload": null}', 1, 2),
            server << PubAck(2),
            server << Answer(401, "r-1", 1, {"errorCode": 401002, "message": "Unauthorized"}),
            client >> PubAck(1),
            client >> Publish(REGISTER + "r-2", b'{"registrationId": "dev-1", "payload": null}', 1, 3),
            server << PubAck(3),
            server << Answer(200, "r-2", 2, DONE),
        )

    async def test_a_disabled_enrollment(self) -> None:
        await Scene(assigning(), disabled()).play(
            client >> self.CONNECT,
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + "r-1", b'{"registrationId": "dev-1", "payload": null}', 1, 2),
            server << PubAck(2),
            server << Answer(202, "r-1", 1, {"status": "assigning"}, 3),
            client >> PubAck(1),
            client >> Publish(STATUS + f"r-2&operationId={OPERATION}", b" ", 1, 3),
            server << PubAck(3),
            server << Answer(200, "r-2", 2, {"status": "disabled", "registrationState.status": "disabled"}),
        )


class TestCSharp:
    """azure-iot-sdk-csharp: ProvisioningChannelHandlerAdapter.cs, a state machine that takes one packet in each state."""

    CONNECT = Connect(
        "dev-1",
        f"{ID_SCOPE}/registrations/dev-1/api-version=2019-03-31&ClientVersion=.NET%2F1.19.4",
        None,
    )

    async def test_connack_suback_puback_then_the_answer(self) -> None:
        """Checklist 5: PublishRegisterAsync sends an empty body without a payload, and so does each poll."""
        scene = Scene(assigning(), assigned(), peer_chain=(b"leaf", b"issuer"))
        await scene.play(
            client >> self.CONNECT,
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + "1", b"", 1, 2),
            server << PubAck(2),
            server << Answer(202, "1", 1, {"status": "assigning"}, 3),
            client >> PubAck(1),
            client >> Publish(STATUS + f"2&operationId={OPERATION}", b"", 1, 3),
            server << PubAck(3),
            server << Answer(200, "2", 2, DONE),
            client >> PubAck(2),
            client >> Disconnect(),
            server << closed,
        )
        assert scene.provisioning.registers[0].evidence == PresentedChain((b"leaf", b"issuer"))

    async def test_an_unknown_id_scope(self) -> None:
        await Scene().play(
            client >> Connect("dev-1", "0neOTHER/registrations/dev-1/api-version=2019-03-31"),
            server << ConnAck(False, 5),
            server << closed,
        )


class TestNode:
    """azure-iot-provisioning-device-mqtt 1.9: mqtt.js. Its JSON parser sees every body, of errors too."""

    async def test_a_poll(self) -> None:
        await Scene(assigning(), assigned()).play(
            client
            >> Connect(
                "dev-1",
                f"{ID_SCOPE}/registrations/dev-1/api-version=2019-03-31&ClientVersion=azure-iot-provisioning-device-mqtt%2F1.9.1",
                TOKEN,
            ),
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + "7d", b'{"registrationId":"dev-1"}', 1, 2),
            server << PubAck(2),
            server << Answer(202, "7d", 1, {"status": "assigning"}, 3),
            client >> PubAck(1),
            client >> Publish(STATUS + f"7e&operationId={OPERATION}", b" ", 1, 3),
            server << PubAck(3),
            server << Answer(200, "7e", 2, DONE),
        )


class TestC:
    """azure-iot-sdk-c: prov_transport_mqtt_common.c. Publishes QoS 0; a poll carries the register body once more."""

    async def test_a_poll(self) -> None:
        body = b'{"registrationId":"dev-1"}'
        scene = Scene(assigning(), assigned(), peer_chain=(b"leaf",))
        await scene.play(
            client
            >> Connect(
                "dev-1", f"{ID_SCOPE}/registrations/dev-1/api-version=2021-06-01&ClientVersion=1.15.0"
            ),
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + "1", body),
            server << Answer(202, "1", 1, {"status": "assigning"}, 3),
            client >> PubAck(1),
            client >> Publish(STATUS + f"2&operationId={OPERATION}", body),
            server << Answer(200, "2", 2, DONE),
        )
        assert scene.provisioning.queries[0][0].csr_fields == ()


class TestJava:
    """azure-iot-sdk-java: ContractAPIMqtt.java, over Paho. QoS 0, a small integer for rid, a null body to poll with."""

    CONNECT = Connect(
        "dev-1",
        f"{ID_SCOPE}/registrations/dev-1/api-version=2019-03-31&ClientVersion=2019-03-31",
        f"SharedAccessSignature sr={ID_SCOPE}/registrations/dev-1&sig=c2ln&se=1900000000&skn=".encode(),
    )

    async def test_a_poll(self) -> None:
        scene = Scene(assigning(), assigned())
        await scene.play(
            client >> self.CONNECT,
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 1),)),
            server << SubAck(1, (1,)),
            client >> Publish(REGISTER + "1", b'{"registrationId":"dev-1","payload":"{}"}'),
            server << Answer(202, "1", 1, {"status": "assigning", "operationId": OPERATION}, 3),
            client >> PubAck(1),
            client >> Publish(STATUS + f"2&operationId={OPERATION}", b""),
            server << Answer(200, "2", 2, DONE),
            client >> PubAck(2),
            client >> Disconnect(),
            server << closed,
        )
        token = scene.provisioning.registers[0].evidence
        assert isinstance(token, SasToken)
        assert token.signed_text == f"{ID_SCOPE}/registrations/dev-1\n1900000000".encode()
        assert token.policy is None


class TestMosquitto:
    """Any MQTT client: `?` before the query, QoS 0 throughout, nothing shown."""

    @pytest.mark.parametrize("name", ["api-version", "API-Version"])
    async def test_qos_0(self, name: str) -> None:
        scene = Scene(Unauthenticated("Unauthorized", rule="nothing-shown"))
        await scene.play(
            client >> Connect("DEV-1", f"{ID_SCOPE}/registrations/dev-1/?{name}=2019-03-31", b""),
            server << ConnAck(False, 0),
            client >> Subscribe(1, ((RESPONSES, 0),)),
            server << SubAck(1, (0,)),
            client >> Publish(REGISTER + "1", b"{}"),
            server << Answer(401, "1", None, {"errorCode": 401002}),
        )
        assert scene.provisioning.registers[0].evidence == NothingShown()
