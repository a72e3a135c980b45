"""What every answer of the device API must be for each SDK's reader of answers, on MQTT and on HTTPS alike.

The readers are re-told from the SDKs' sources (named at each), or called where they are installed here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from azure.iot.device.provisioning.pipeline import mqtt_topic_provisioning as python_sdk
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.credential import CertificateRecord, Certified, IssuedChain
from accredit.domain.errors import KINDS, AccreditError, Throttled, UpstreamUnavailable
from accredit.domain.evidence import ProvenChain
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.registration import Answer as Outcome
from accredit.domain.registration import Assigned, Status, Substatus
from accredit.fronts.mqtt import MqttConnection
from accredit.fronts.mqtt_dps import DpsConversations
from accredit.values import replace
from accredit.wire import mqtt, topics
from accredit.wire.mqtt import Connect, Publish, Subscribe
from support import pki
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.http_transcript import HTTPScene
from support.logs import capture_logs
from support.mqtt_transcript import RecordingTransport
from support.scripted_provisioning import (
    ID_SCOPE,
    ScriptedProvisioning,
    assigned,
    assigning,
    disabled,
    failed,
)

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z")


def by_certificate() -> Assigned:
    """Proven by X.509, and given a certificate in the answer's payload, beside what a webhook said."""
    answer = assigned()
    device = pki.root("Root").intermediate("Line 3").issue("dev-1")
    issued = IssuedChain(device.chain, 1, 1, 2, b"s", b"k")
    name, registration_id = AuthorityName.parse("builtin"), RegistrationId.parse("dev-1")
    record = CertificateRecord(
        issued, name, "1", "device", registration_id, DeviceId("dev-1"), "g", b"c", "op", 1
    )
    return replace(
        answer,
        registration=replace(answer.registration, payload=b"[1]", substatus=Substatus.DEVICE_DATA_MIGRATED),
        attested=replace(answer.attested, proof=ProvenChain(device.chain)),
        certified=Certified(record, fresh=True),
        csr_field="payload.clientCertificateCsr",
    )


OUTCOMES: dict[str, Outcome] = {
    "assigned": assigned(),
    "by certificate": by_certificate(),
    "no substatus kept": replace(assigned(), registration=replace(assigned().registration, substatus=None)),
    "assigning": assigning(),
    "failed": failed(),
    "disabled": disabled(),
}


def refusal(kind: type[AccreditError]) -> AccreditError:
    if issubclass(kind, Throttled | UpstreamUnavailable):
        return kind("Later.", rule="any", retry_after_s=11)
    return kind("No.", rule="any", hint="for the operator", evidence="what was seen")


REFUSALS: dict[str, Exception] = {kind.__name__: refusal(kind) for kind in KINDS} | {
    "a defect": RuntimeError("the secret is hunter2")
}

EVERYTHING = OUTCOMES | REFUSALS


@dataclass(frozen=True)
class Told:
    """An answer as a device gets it; `topic` over MQTT, `retry_after` as it is written there or in the header."""

    status: int
    body: bytes
    retry_after: str | None
    topic: str | None = None

    @property
    def document(self) -> Any:
        return json.loads(self.body)


async def over_mqtt(outcome: Outcome | Exception, rid: str = "1") -> tuple[list[mqtt.Packet], Told]:
    """Everything that leaves, and the answer in it; asked with QoS 1, as all SDKs do but those of C and Java."""
    dps = DpsConversations(ScriptedProvisioning(outcome), HandClock(), CountedEntropy())
    transport = RecordingTransport()
    transport.protocol = connection = MqttConnection(dps, dps)
    connection.connection_made(transport)
    for packet in (
        Connect("dev-1", f"{ID_SCOPE}/registrations/dev-1/api-version=2019-03-31"),
        Subscribe(1, ((topics.DPS_RESPONSES, 1),)),
        Publish(f"$dps/registrations/PUT/iotdps-register/?$rid={rid}", b"", 1, 2),
    ):
        connection.data_received(mqtt.encode(packet))
        await _settled()
    heard = mqtt.Decoder(max_packet_bytes=1 << 20).feed(bytes(transport.written))
    transport.abort()
    (answer,) = (packet for packet in heard if isinstance(packet, Publish))
    status, retry_after = re.fullmatch(
        r"\$dps/registrations/res/(\d+)/\?\$rid=[^&]*(?:&retry-after=(\d+))?", answer.topic
    ).groups()  # type: ignore[union-attr]
    return heard, Told(int(status), answer.payload, retry_after, answer.topic)


async def _settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def over_https(outcome: Outcome | Exception) -> Told:
    scene = HTTPScene(outcome)
    told = await scene.says(
        f"PUT /{ID_SCOPE}/registrations/dev-1/register?api-version=2019-03-31 HTTP/1.1\r\n"
        "Host: x\r\nContent-Length: 0\r\n\r\n".encode()
    )
    scene.close()
    return Told(told.status, told.body, told.headers.get("retry-after"))


@pytest.fixture(params=["mqtt", "https"])
def ask(request: pytest.FixtureRequest) -> Any:
    """Register on one of the wires."""

    async def by_mqtt(outcome: Outcome | Exception) -> Told:
        return (await over_mqtt(outcome))[1]

    return by_mqtt if request.param == "mqtt" else over_https


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Defects are logged with their traceback, which takes a second to print in colour."""
    with capture_logs():
        yield


each_outcome = pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
everything = pytest.mark.parametrize("outcome", EVERYTHING.values(), ids=EVERYTHING.keys())


class TestTopic:
    """ProvisioningChannelHandlerAdapter.cs, mqtt_topic_provisioning.py, mqtt.js, ContractAPIMqtt.java, prov_transport_mqtt_common.c."""

    @everything
    async def test_every_parser_reads_it(self, outcome: Outcome | Exception) -> None:
        """Checklist 1: `/?`, `$rid` first and no second `$` behind it, `retry-after` in lower case with whole seconds."""
        _, told = await over_mqtt(outcome, rid="b4a0d1f2-0a4f")
        topic = told.topic or ""
        csharp = re.match(r"^\$dps/registrations/res/(.*?)/\?\$rid=(.*?)$", topic)
        assert csharp is not None
        assert csharp[1] == str(told.status)
        assert csharp[2].startswith("b4a0d1f2-0a4f")
        assert topic.count("$") == 2
        assert python_sdk.is_dps_response_topic(topic)
        assert int(python_sdk.extract_status_code_from_dps_response_topic(topic), 10) == told.status
        properties = python_sdk.extract_properties_from_dps_response_topic(topic)
        assert properties["rid"] == "b4a0d1f2-0a4f"
        node = re.match(r"^\$dps/registrations/res/(.*)/\?(.*)$", topic)
        assert node is not None
        assert dict(part.split("=") for part in node[2].split("&"))["$rid"] == "b4a0d1f2-0a4f"
        if told.retry_after is not None:
            assert int(properties["retry-after"], 10) == int(told.retry_after)
            # Java cuts a fixed length off the front of the part between two ampersands.
            (java,) = (part for part in topic.split("&") if "retry-after" in part)
            assert java[len("retry-after") + 1 :] == told.retry_after

    @given(rid=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="&#+"), max_size=40))
    async def test_whatever_a_device_calls_its_request(self, rid: str) -> None:
        """Checklist 1, for any rid: what would break a topic, or an SDK's parser of it, is percent-encoded."""
        _, told = await over_mqtt(assigned(), rid)
        assert (told.topic or "").count("$") == 2
        assert not set("+#") & set(told.topic or "")


class TestOrder:
    """ProvisioningChannelHandlerAdapter.cs takes CONNACK, SUBACK, PUBACK and the answer in turn, one in each state."""

    @everything
    async def test_connack_suback_puback_publish(self, outcome: Outcome | Exception) -> None:
        """Checklist 2: the PUBACK before the answer, and no session is ever present."""
        heard, _ = await over_mqtt(outcome)
        assert [type(packet) for packet in heard] == [mqtt.ConnAck, mqtt.SubAck, mqtt.PubAck, mqtt.Publish]
        assert heard[0] == mqtt.ConnAck(session_present=False, code=0)
        assert heard[3].packet_id is not None  # type: ignore[union-attr]


class TestBody:
    @everything
    async def test_it_is_a_json_object(self, ask: Any, outcome: Outcome | Exception) -> None:
        """Checklist 6: mqtt.js parses the payload of every answer unguarded, and C# every error's."""
        assert isinstance((await ask(outcome)).document, dict)

    @each_outcome
    async def test_the_status_is_spelled_as_azure_spells_it(self, ask: Any, outcome: Outcome) -> None:
        """Checklist 17: compared by `==` in Python and ordinally in C# (ProvisioningChannelHandlerAdapter.cs)."""
        answer = await ask(outcome)
        assert answer.status == (202 if outcome == assigning() else 200)
        told = answer.document
        statuses = {"assigned", "assigning", "failed", "disabled", "unassigned"}
        assert told["status"] in statuses
        if "registrationState" in told:
            assert told["registrationState"]["status"] == told["status"]
            assert told["registrationState"].get("substatus") in {None, *map(str, Substatus)}

    @pytest.mark.parametrize("outcome", [failed(), disabled()], ids=["failed", "disabled"])
    async def test_an_end_has_a_state(self, ask: Any, outcome: Outcome) -> None:
        """Checklist 16: ProvisioningChannelHandlerAdapter.cs reads registrationState of all that is not assigning."""
        state = (await ask(outcome)).document["registrationState"]
        assert state["registrationId"] == "dev-1"
        assert state.get("assignedHub") is None

    @each_outcome
    async def test_java_finds_all_that_it_insists_on(self, ask: Any, outcome: Outcome) -> None:
        """Checklist 16: RegistrationOperationStatusParser.java throws for any of these, and takes a payload as an object."""
        told = (await ask(outcome)).document
        assert told["operationId"]
        assert told["status"]
        if (state := told.get("registrationState")) is None:
            return
        assert state["registrationId"]
        assert state["status"]
        assert isinstance(state.get("payload", {}), dict)
        for info in (state.get("x509") or {}).values():
            if isinstance(info, dict):
                assert {
                    "issuerName", "subjectName", "sha1Thumbprint", "sha256Thumbprint",
                    "notBeforeUtc", "notAfterUtc", "serialNumber", "version",
                } == info.keys()  # fmt: skip
                assert None not in info.values()

    @everything
    async def test_dates_are_iso_8601_in_utc(self, ask: Any, outcome: Outcome | Exception) -> None:
        """Checklist 20: DeviceRegistrationResult.cs has DateTime?, msrest's models an ISO parser; both fail on another form."""
        dates = list(_dates((await ask(outcome)).document))
        assert dates or isinstance(outcome, type(assigning()))
        for text in dates:
            assert ISO.fullmatch(text)
            assert datetime.fromisoformat(text).utcoffset() is not None

    @everything
    async def test_nothing_is_null(self, ask: Any, outcome: Outcome | Exception) -> None:
        """Checklist 21: extra members are ignored by every SDK, nulls by most; RegistrationOperationStatusParser.java is not one."""
        assert None not in _values((await ask(outcome)).document)

    @pytest.mark.parametrize("outcome", REFUSALS.values(), ids=REFUSALS.keys())
    async def test_an_error_has_its_members_and_no_secret(self, ask: Any, outcome: Exception) -> None:
        """Checklist 22: ProvisioningErrorDetails.cs and ProvisioningErrorParser.java want `info`, if any, from text to text."""
        told = await ask(outcome)
        error = told.document
        assert {"errorCode", "trackingId", "message", "timestampUtc"} <= error.keys()
        assert error["errorCode"] // 1000 == told.status
        assert all(isinstance(value, str) for value in error.get("info", {}).values())
        for unsaid in (b"for the operator", b"what was seen", b"hunter2"):
            assert unsaid not in told.body

    @pytest.mark.parametrize("outcome", REFUSALS.values(), ids=REFUSALS.keys())
    async def test_what_is_tried_again_says_when(self, ask: Any, outcome: Exception) -> None:
        """Checklist 23: pipeline_stages_provisioning.py repeats from 429 on for ever, every two seconds unless told otherwise."""
        told = await ask(outcome)
        assert (told.status >= 429) == (told.retry_after is not None)
        assert told.retry_after is None or int(told.retry_after) >= 7

    @pytest.mark.parametrize("name", ["assigned", "by certificate", "no substatus kept"])
    async def test_assigned_says_where_and_who_and_how(self, ask: Any, name: str) -> None:
        """Checklist 25: registration_result.py joins these three; without one the synchronous register() never returns."""
        state = (await ask(OUTCOMES[name])).document["registrationState"]
        assert all(
            isinstance(state[each], str) and state[each] for each in ("assignedHub", "deviceId", "substatus")
        )
        assert state["status"] == Status.ASSIGNED


def _dates(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.lower().endswith(("utc", "datetime")):
                yield inner
            else:
                yield from _dates(inner)


def _values(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else ():
        yield from _values(inner)
