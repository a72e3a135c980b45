"""DPS over AMQP as each SDK speaks it, byte by byte, against the real connection, engine and conversation.

What an SDK sends is taken from its source (named in each class); what it insists on is what the script demands.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accredit.domain.errors import Throttled, Unauthenticated
from accredit.domain.evidence import PresentedChain, SasToken, TpmEndorsement
from accredit.domain.registration import Challenged
from accredit.fronts.amqp_dps import MAX_LINKS
from accredit.wire import amqp_message as m
from accredit.wire import amqp_sasl as sasl
from accredit.wire import amqp_tpm, sas, tpm
from accredit.wire import amqp_types as t
from accredit.wire.amqp_sasl import AMQP_HEADER, SASL_HEADER
from support.amqp_messages import request
from support.amqp_scenes import AmqpScene, amqp_scene
from support.amqp_script import (
    ACCEPTED,
    RECEIVER,
    REJECTED,
    SENDER,
    AmqpScript,
    Heard,
    attach,
    begin,
    close,
    detach,
    end,
    flow,
    open_,
    settled,
    transfer,
)
from support.scripted_provisioning import ID_SCOPE, OPERATION, assigned, assigning, disabled
from support.tpm_device import TpmDevice

ADDRESS = f"{ID_SCOPE}/registrations/dev-1"
TOKEN = sas.make(ADDRESS, b"k" * 32, 1_900_000_000, None)
CHAIN = (b"a certificate", b"its issuer")
UUID_TEXT = "8d0a1f4e-3a52-4d84-a3dc-2a3f0f3f6c11"
API = "com.microsoft:api-version"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[AmqpScene]:
    made = await amqp_scene(tmp_path)
    yield made
    await made.close()


async def answered(script: AmqpScript) -> tuple[dict[str, Any], m.Message]:
    """The request is accepted, and then the answer comes, its body a single data section of JSON."""
    told = await script.hears("disposition")
    assert (told[3], told[4].descriptor) == (True, ACCEPTED)
    message = m.parse((await script.hears("transfer")).payload)
    assert len(message.data) == 1
    assert message.value is None
    return json.loads(message.body), message


async def rejected(script: AmqpScript) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Condition, the description as the JSON that it is, and the info map."""
    told = await script.hears("disposition")
    assert (told[3], told[4].descriptor) == (True, REJECTED)
    condition, description = told.error
    error = told[4].value[0].value
    assert description is not None
    return condition, json.loads(description), error[2] if len(error) > 2 else {}


def assigned_to(body: dict[str, Any]) -> tuple[str, str, str]:
    state = body["registrationState"]
    return body["status"], state["assignedHub"], state["deviceId"]


DONE = ("assigned", "hub.example", "dev-1")


class TestNode:
    """azure-iot-provisioning-device-amqp 1.13 amqp.js, azure-iot-amqp-base 2.5, rhea 1.0."""

    async def links(self, script: AmqpScript) -> None:
        """Receiver first, each attached when the one before it is."""
        said = {API: "2019-03-31"}
        script.says(attach(0, RECEIVER, ADDRESS, properties=said), flow(0, 1000))
        echoed = await script.hears("attach")
        assert echoed[5].value[0] == ADDRESS
        script.says(attach(1, SENDER, ADDRESS, properties=said))
        echoed = await script.hears("attach")
        assert echoed[6].value[0] == ADDRESS
        assert (await script.hears("flow"))[6] > 0, "credit at once"

    async def test_with_a_symmetric_key(self, scene: AmqpScene) -> None:
        scene.answers(assigning(retry_after_s=3), assigned())
        script = scene.script()
        script.says(SASL_HEADER)
        await script.hears_header(SASL_HEADER)
        offered = await script.hears_sasl()
        assert isinstance(offered, sasl.Mechanisms)
        assert "PLAIN" in offered.names
        script.says(sasl.Init("PLAIN", sasl.plain(ADDRESS, TOKEN), "localhost"))
        assert await script.hears_sasl() == sasl.Outcome(sasl.OK)
        await script.begins()
        await self.links(script)
        body = json.dumps({"registrationId": "dev-1"}).encode()
        correlation = t.string(UUID_TEXT)
        script.says(transfer(1, 0, request("iotdps-register", body, force=False, correlation=correlation)))
        told, message = await answered(script)
        assert told == {"operationId": OPERATION, "status": "assigning"}
        # It looks its callback up by this value, and Number()s the seconds.
        assert message.properties.correlation_id == correlation
        assert int(message.application["retry-after"]) == 3
        script.says(
            settled(0),
            # rhea encodes a body of '' as a value.
            transfer(
                1, 1,
                request("iotdps-get-operationstatus", None, value=t.string(""), operation_id=OPERATION,
                        correlation=t.string("b")),
            ),
        )  # fmt: skip
        told, message = await answered(script)
        assert assigned_to(told) == DONE
        assert message.properties.correlation_id == t.string("b")
        script.says(settled(1), detach(0), detach(1), end(), close())
        for name in ("detach", "detach", "end", "close"):
            await script.hears(name)
        await script.is_closed()
        (registered,) = scene.provisioning.registers
        assert isinstance(registered.evidence, SasToken)
        assert (registered.api_version, registered.source) == ("2019-03-31", "192.0.2.7")
        assert [operation for _, operation in scene.provisioning.queries] == [OPERATION]

    async def test_with_a_certificate_there_is_no_sasl(self, scene: AmqpScene) -> None:
        """Checklist 13: amqp.js hands rhea no user name, and its lib/connection.js makes a SASL layer for one alone."""
        scene.answers(assigned())
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        await self.links(script)
        script.says(transfer(1, 0, request("iotdps-register", b'{"registrationId":"dev-1"}')))
        told, _ = await answered(script)
        assert assigned_to(told) == DONE
        assert scene.provisioning.registers[0].evidence == PresentedChain(CHAIN)

    async def test_a_wrong_key_is_told_as_unauthorized(self, scene: AmqpScene) -> None:
        """amqp_common_errors.js: the condition decides the class of the error; the same connection may try again."""
        scene.answers(Unauthenticated("Unauthorized", rule="sas-signature"), assigned())
        script = scene.script()
        await script.logs_in(sasl.Init("PLAIN", sasl.plain(ADDRESS, TOKEN)))
        await self.links(script)
        script.says(transfer(1, 0, request("iotdps-register", b"{}")))
        condition, body, _ = await rejected(script)
        assert (condition, body["errorCode"]) == ("amqp:unauthorized-access", 401002)
        script.says(transfer(1, 1, request("iotdps-register", b"{}")))
        told, _ = await answered(script)
        assert assigned_to(told) == DONE

    async def test_what_it_repeats_says_when(self, scene: AmqpScene) -> None:
        """amqp.js: after a ThrottlingError it registers again when `retry-after` in the error's info has passed."""
        scene.answers(Throttled("Too much", rule="connection-requests", retry_after_s=7))
        script = scene.script()
        await script.logs_in(sasl.Init("PLAIN", sasl.plain(ADDRESS, TOKEN)))
        await self.links(script)
        script.says(transfer(1, 0, request("iotdps-register", b"{}")))
        condition, body, info = await rejected(script)
        assert condition == "com.microsoft:device-container-throttled"
        assert (body["errorCode"], info["retry-after"], info["Retry-After"]) == (429001, 7, 7)

    async def test_a_disabled_enrollment_is_a_status(self, scene: AmqpScene) -> None:
        scene.answers(disabled())
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        await self.links(script)
        script.says(transfer(1, 0, request("iotdps-register", b"{}")))
        told, _ = await answered(script)
        assert (told["status"], told["registrationState"]["status"]) == ("disabled", "disabled")


class TestCSharp:
    """azure-iot-sdk-csharp: AmqpClientConnection.cs, AmqpClientSession.cs, ProvisioningTransportHandlerAmqp.cs."""

    VERSIONS = {API: "2019-03-31", "com.microsoft:client-version": "Microsoft.Azure.Devices/1"}

    async def links(self, script: AmqpScript) -> None:
        script.says(attach(0, RECEIVER, ADDRESS, properties=self.VERSIONS), flow(0, 50))
        await script.hears("attach")
        script.says(attach(1, SENDER, ADDRESS, properties=self.VERSIONS))
        await script.hears("attach")
        await script.hears("flow")

    async def test_an_empty_data_section_registers(self, scene: AmqpScene) -> None:
        """Checklist 13: RegisterDeviceAsync: without a payload the stream is empty; the poll's body is a string value."""
        scene.answers(assigning(retry_after_s=2), assigned())
        script = scene.script()
        await script.logs_in(sasl.Init("PLAIN", sasl.plain(ADDRESS, TOKEN), ADDRESS))
        await self.links(script)
        correlation = t.string(UUID_TEXT)
        script.says(transfer(1, 0, request("iotdps-register", b"", force=False, correlation=correlation)))
        told, message = await answered(script)
        assert told["status"] == "assigning"
        assert message.properties.correlation_id == correlation
        # ProvisioningErrorDetailsAmqp.GetRetryAfterFromApplicationProperties looks for this very spelling.
        assert message.application["Retry-After"] == "2"
        poll = request(
            "iotdps-get-operationstatus", None, value=t.string(""), operation_id=OPERATION,
            correlation=correlation,
        )  # fmt: skip
        script.says(settled(0), transfer(1, 1, poll))
        told, _ = await answered(script)
        assert assigned_to(told) == DONE
        assert scene.provisioning.registers[0].payload is None

    async def test_without_sasl_and_without_a_registration_id(self, scene: AmqpScene) -> None:
        """Checklist 13: AmqpAuthStrategyX509.cs: no provider, so the first bytes are AMQP's own header."""
        scene.answers(assigned())
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        await self.links(script)
        script.says(transfer(1, 0, request("iotdps-register", b'{"payload":{"a":1}}')))
        told, _ = await answered(script)
        assert assigned_to(told) == DONE
        assert scene.provisioning.registers[0].payload == b'{"a":1}'

    async def test_the_description_is_the_error_body(self, scene: AmqpScene) -> None:
        """ValidateOutcome: the description is deserialized, and the status is errorCode / 1000."""
        scene.answers(Unauthenticated("Unauthorized", rule="chain-unknown"))
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        await self.links(script)
        script.says(transfer(1, 0, request("iotdps-register", b"")))
        _, body, _ = await rejected(script)
        assert body["errorCode"] // 1000 == 401
        assert {"trackingId", "message", "timestampUtc"} <= body.keys()
        UUID(body["trackingId"])


class TestJava:
    """azure-iot-sdk-java: AmqpsConnection.java, ContractAPIAmqp.java, AmqpsProvisioningSaslHandler.java."""

    async def test_everything_at_once_and_no_body(self, scene: AmqpScene) -> None:
        """Checklist 13: ContractAPIAmqp.java waits for nothing; the messages have application properties alone."""
        scene.answers(assigning(), assigned())
        script = scene.script()
        said = {API: "2019-03-31", "com.microsoft:client-version": "com.microsoft.azure.sdk.iot"}
        script.says(
            SASL_HEADER,
            sasl.Init("PLAIN", sasl.plain(ADDRESS, TOKEN), "localhost"),
            AMQP_HEADER,
            open_(),
            begin(),
            attach(0, SENDER, ADDRESS, name="provision_sender_link", properties=said),
            attach(1, RECEIVER, ADDRESS, name="provision_receiver_link", properties=said),
            flow(1, 10),
        )
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        assert await script.hears_sasl() == sasl.Outcome(sasl.OK)
        await script.hears_header(AMQP_HEADER)
        for name in ("open", "begin", "attach", "attach", "flow"):
            await script.hears(name)
        script.says(transfer(0, 0, request("iotdps-register", None)))
        told, message = await answered(script)
        assert told["status"] == "assigning"
        # ContractAPIAmqp.processRetryAfterValue: Integer.parseInt of the property's text.
        assert int(str(message.application["retry-after"])) == 3
        assert message.properties.correlation_id == b""
        poll = request("iotdps-get-operationstatus", None, operation_id=OPERATION)
        script.says(settled(0), transfer(0, 1, poll))
        told, _ = await answered(script)
        # RegistrationOperationStatusParser: both must be there.
        assert {"registrationId", "status"} <= told["registrationState"].keys()


class TestC:
    """azure-iot-sdk-c: prov_transport_amqp_common.c, uAMQP."""

    WHOLE = f"amqps://localhost/{ADDRESS}"

    async def links(self, script: AmqpScript) -> None:
        said = {API: "2021-06-01"}
        script.says(attach(0, RECEIVER, self.WHOLE, properties=said), flow(0, 10_000))
        assert (await script.hears("attach"))[5].value[0] == self.WHOLE
        script.says(attach(1, SENDER, self.WHOLE, properties=said))
        await script.hears("attach")
        await script.hears("flow")

    async def test_whole_uris_and_a_body_with_the_poll(self, scene: AmqpScene) -> None:
        """Checklist 13: prov_transport_amqp_common.c, AMQP_ADDRESS_FMT; the poll carries the register body once more; no correlation id."""
        scene.answers(assigning(), assigned())
        script = scene.script()
        await script.logs_in(sasl.Init("PLAIN", sasl.plain(ADDRESS, TOKEN)))
        await self.links(script)
        body = b'{"registrationId":"dev-1"}'
        script.says(transfer(1, 0, request("iotdps-register", body)))
        told, _ = await answered(script)
        assert told["operationId"] == OPERATION
        script.says(
            settled(0),
            transfer(1, 1, request("iotdps-get-operationstatus", body, operation_id=OPERATION)),
        )
        told, _ = await answered(script)
        assert assigned_to(told) == DONE
        assert scene.provisioning.registers[0].api_version == "2021-06-01"

    async def test_a_certificate_and_no_sasl(self, scene: AmqpScene) -> None:
        """create_transport_io_object: SASL only for TPM and symmetric keys."""
        scene.answers(assigned())
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        await self.links(script)
        script.says(transfer(1, 0, request("iotdps-register", b'{"registrationId":"dev-1"}')))
        told, _ = await answered(script)
        assert assigned_to(told) == DONE
        assert scene.provisioning.registers[0].evidence == PresentedChain(CHAIN)


class TestTpm:
    """The mechanism TPM, whose words every SDK has in a file of its own."""

    DEVICE = TpmDevice()
    BLOB = bytes(range(256)) * 3 + bytes(40)

    def opening(self) -> sasl.Init:
        """C# SaslTpmHandler.cs and Node sasl_tpm.js put the address into the hostname."""
        said = amqp_tpm.Opening(ID_SCOPE, "dev-1", tpm.sized(self.DEVICE.endorsement.area))
        return sasl.Init("TPM", amqp_tpm.opening(said), ADDRESS)

    async def challenged(self, script: AmqpScript) -> list[bytes]:
        """Up to the last part of the blob; the challenges as they came."""
        script.says(SASL_HEADER)
        await script.hears_header(SASL_HEADER)
        offered = await script.hears_sasl()
        # AmqpsProvisioningSaslHandler.java: chooseSaslMechanism throws where it is not offered.
        assert isinstance(offered, sasl.Mechanisms)
        assert "TPM" in offered.names
        challenges = []
        words = [
            self.opening(),
            sasl.Response(amqp_tpm.word(tpm.sized(self.DEVICE.storage_root.area))),
            sasl.Response(b"\x00"),
        ]
        for word in words:
            script.says(word)
            challenge = await script.hears_sasl()
            assert isinstance(challenge, sasl.Challenge)
            challenges.append(challenge.data)
        return challenges

    async def test_two_data_challenges_and_then_the_token(self, scene: AmqpScene) -> None:
        """Checklist 14: AmqpsProvisioningSaslHandler.java compares the control bytes with 0x80 and 0xC1."""
        scene.provisioning.challenges.append(Challenged(self.BLOB))
        scene.answers(assigned())
        script = scene.script()
        call, first, rest = await self.challenged(script)
        assert (call, first[:1], rest[:1]) == (b"\x00", b"\x80", b"\xc1")
        assert first[1:] + rest[1:] == self.BLOB
        script.says(sasl.Response(amqp_tpm.word(TOKEN.encode())))
        assert await script.hears_sasl() == sasl.Outcome(sasl.OK)
        await script.begins()
        await TestC().links(script)
        keys = {
            "endorsementKey": tpm.text_of(self.DEVICE.endorsement),
            "storageRootKey": tpm.text_of(self.DEVICE.storage_root),
        }
        # Node and C send the keys once more; those of the login count.
        body = json.dumps({"registrationId": "dev-1", "tpm": keys}).encode()
        script.says(transfer(1, 0, request("iotdps-register", body)))
        told, _ = await answered(script)
        assert assigned_to(told) == DONE
        evidence = scene.provisioning.registers[0].evidence
        assert isinstance(evidence, TpmEndorsement)
        assert (evidence.endorsement, evidence.storage_root) == (
            self.DEVICE.endorsement,
            self.DEVICE.storage_root,
        )
        assert evidence.token == sas.parse(TOKEN)
        (proven,) = scene.provisioning.proven
        assert proven.evidence == evidence

    @pytest.mark.parametrize(
        "answer",
        [Unauthenticated("Unauthorized", rule="tpm-endorsement"), disabled()],
        ids=["refused", "unknown"],
    )
    async def test_a_stranger_gets_no_blob(self, scene: AmqpScene, answer: Any) -> None:
        scene.provisioning.challenges.append(answer)
        script = scene.script()
        script.says(SASL_HEADER, self.opening())
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        await script.hears_sasl()
        script.says(sasl.Response(amqp_tpm.word(tpm.sized(self.DEVICE.storage_root.area))))
        assert await script.hears_sasl() == sasl.Outcome(sasl.AUTH)
        await script.is_closed()

    @pytest.mark.parametrize(
        ("refusal", "outcome"),
        [
            (Unauthenticated("Unauthorized", rule="tpm-signature"), sasl.AUTH),
            (Throttled("Too much", rule="connection-requests", retry_after_s=7), sasl.SYS_TEMP),
        ],
    )
    async def test_a_wrong_token_is_told_here(
        self, scene: AmqpScene, refusal: Exception, outcome: int
    ) -> None:
        """AmqpsProvisioningSaslHandler.java, handleOutcome: 1 is "Sas token was rejected", 4 is to be tried again."""
        scene.provisioning.challenges.append(Challenged(self.BLOB))
        scene.provisioning.unproven = refusal
        script = scene.script()
        await self.challenged(script)
        script.says(sasl.Response(amqp_tpm.word(TOKEN.encode())))
        assert await script.hears_sasl() == sasl.Outcome(outcome)
        await script.is_closed()

    @pytest.mark.parametrize("word", [b"", b"x", b"\x00\xff\xfe", b"\x00no token"])
    async def test_a_word_that_is_no_token(self, scene: AmqpScene, word: bytes) -> None:
        scene.provisioning.challenges.append(Challenged(self.BLOB))
        script = scene.script()
        await self.challenged(script)
        script.says(sasl.Response(word))
        assert await script.hears_sasl() == sasl.Outcome(sasl.AUTH)
        await script.is_closed()
        assert scene.provisioning.proven == []

    @pytest.mark.parametrize(
        "opening",
        [
            amqp_tpm.Opening("0neOTHER", "dev-1", b"key"),
            amqp_tpm.Opening(ID_SCOPE, "...", b"key"),
            amqp_tpm.Opening(ID_SCOPE, "dev-1", b"no key"),
        ],
    )
    async def test_an_opening_of_nobody_here(self, scene: AmqpScene, opening: amqp_tpm.Opening) -> None:
        script = scene.script()
        script.says(SASL_HEADER, sasl.Init("TPM", amqp_tpm.opening(opening)))
        await script.hears_header(SASL_HEADER)
        await script.hears_sasl()
        await script.hears_sasl()
        script.says(sasl.Response(amqp_tpm.word(b"no key")))
        assert await script.hears_sasl() == sasl.Outcome(sasl.AUTH)
        await script.is_closed()
        assert len(scene.provisioning.unreads) == 1


class TestManyLinks:
    async def test_a_connection_may_have_few(self, scene: AmqpScene) -> None:
        """Each may hold the beginning of a message, and a login proves nothing yet."""
        script = scene.script()
        await script.begins()
        for handle in range(MAX_LINKS):
            script.says(attach(handle, SENDER, ADDRESS))
            await script.hears("attach")
        script.says(attach(MAX_LINKS, SENDER, ADDRESS))
        await script.hears("attach")
        assert (await script.hears("detach")).error[0] == "amqp:resource-limit-exceeded"
        script.says(detach(0))
        await script.hears("detach")
        script.says(attach(0, SENDER, ADDRESS, name="another"))
        await script.hears("attach")

    async def test_the_answer_comes_on_the_newest(self, scene: AmqpScene) -> None:
        """A link that is replaced, and then ended, takes no answer with it."""
        scene.answers(assigned())
        script = scene.script()
        await script.begins()
        said = {API: "2019-03-31"}
        for handle in range(2):
            script.says(attach(handle, RECEIVER, ADDRESS, properties=said), flow(handle, 9))
            await script.hears("attach")
        script.says(detach(0))
        await script.hears("detach")
        script.says(attach(2, SENDER, ADDRESS, properties=said))
        await script.hears("attach")
        script.says(transfer(2, 0, request("iotdps-register", b"{}")))
        told, _ = await answered(script)
        assert told["status"] == "assigned"


class TestAnswers:
    """What no SDK needs and the protocol does."""

    @pytest.mark.parametrize(
        "correlation", [t.uuid(UUID(UUID_TEXT)), t.ulong(7), t.binary(b"x"), t.string("x")]
    )
    async def test_a_correlation_id_comes_back_in_its_type(
        self, scene: AmqpScene, correlation: bytes
    ) -> None:
        scene.answers(assigned())
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        await TestNode().links(script)
        script.says(transfer(1, 0, request("iotdps-register", b"{}", correlation=correlation)))
        _, message = await answered(script)
        assert message.properties.correlation_id == correlation

    async def test_an_answer_waits_for_credit(self, scene: AmqpScene) -> None:
        scene.answers(assigned())
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        script.says(attach(0, RECEIVER, ADDRESS, properties={API: "2019-03-31"}), attach(1, SENDER, ADDRESS))
        for name in ("attach", "attach", "flow"):
            await script.hears(name)
        script.says(transfer(1, 0, request("iotdps-register", b"{}")))
        told: Heard = await script.hears("disposition")
        assert told[4].descriptor == ACCEPTED
        await script.is_silent()
        script.says(flow(0, 1))
        message = m.parse((await script.hears("transfer")).payload)
        assert assigned_to(json.loads(message.body)) == DONE

    async def test_a_link_that_wants_settled_answers_gets_them_so(self, scene: AmqpScene) -> None:
        scene.answers(assigned())
        script = scene.script(peer_chain=CHAIN)
        await script.begins()
        script.says(
            attach(0, RECEIVER, ADDRESS, properties={API: "2019-03-31"}, settle=1),
            flow(0, 5),
            attach(1, SENDER, ADDRESS),
        )
        assert (await script.hears("attach"))[3] == 1
        await script.hears("attach")
        await script.hears("flow")
        script.says(transfer(1, 0, request("iotdps-register", b"{}")))
        await script.hears("disposition")
        assert (await script.hears("transfer"))[4] is True
