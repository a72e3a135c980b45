"""What webhooks are told and may say; and that no key is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import (
    Enrollment,
    EnrollmentKind,
    EnrollmentRef,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.domain.errors import UpstreamRejected
from accredit.domain.evidence import Attested, DeviceKeys, ProvenChain
from accredit.domain.ids import DeviceId, GroupId, RegistrationId
from accredit.domain.registration import Admitted, Registration, Status
from accredit.domain.secret import Secret
from accredit.values import replace
from accredit.wire import webhooks
from accredit.wire.tpm import text_of
from accredit.wire.webhooks import Allocation, Verdict
from support import pki, stored_values
from support.tpm_device import TpmDevice

NOW = 1_800_000_000
KEYS = SymmetricKeys(Secret(b"p" * 32), Secret(b"s" * 32))
TPM = TpmDevice()
DEVICE = RegistrationId.parse("Dev-1")
LINE = GroupId.parse("Line")
HOOKS = {
    "customAllocationDefinition": {"webhookUrl": "https://a.example/?code=1", "apiVersion": "2021-10-01"},
    "preRegistrationWebhook": {"webhookUrl": "https://b.example/?code=2", "apiVersion": "2021-10-01"},
}
AT_HUB = Registration(
    DEVICE, EnrollmentRef(EnrollmentKind.GROUP, "line"), DeviceId("Pump"), "a.example", Status.ASSIGNED, None,
    "o", "r", NOW, NOW,
)  # fmt: skip


def admitted(name=LINE, attestation=KEYS, proof=None, at_hub=None) -> Admitted:
    secrets = {"customAllocationDefinition": Secret(b"the secret")}
    enrollment = Enrollment(name, attestation, "g", "e", NOW, NOW, settings=HOOKS, secrets=secrets)
    attested = Attested(DEVICE, enrollment, proof or DeviceKeys(KEYS.primary, KEYS.secondary))
    return Admitted(attested, DEVICE, at_hub, DeviceId("Dev-1"), at_hub)


OPERATION = replace(stored_values.operation("o1", "Dev-1"), payload=None)


class TestAllocationRequest:
    def test_of_a_group_s_device_for_the_first_time(self):
        said = json.loads(webhooks.allocation_request(admitted(), OPERATION, ["a.example", "b.example"]))
        assert said.keys() == {"enrollmentGroup", "deviceRuntimeContext", "linkedHubs"}
        assert said["linkedHubs"] == ["a.example", "b.example"]
        assert said["deviceRuntimeContext"] == {"registrationId": "Dev-1", "symmetricKey": {}}
        assert said["enrollmentGroup"]["enrollmentGroupId"] == "Line"
        assert said["enrollmentGroup"]["attestation"] == {"type": "symmetricKey"}

    def test_of_an_individual_that_is_assigned(self):
        by = admitted(RegistrationId.parse("dev-1"), at_hub=AT_HUB)
        payload = b'"{\\"a\\":1}"'
        said = json.loads(webhooks.allocation_request(by, replace(OPERATION, payload=payload), []))
        assert said["individualEnrollment"]["registrationId"] == "dev-1"
        assert said["deviceRuntimeContext"] == {
            "registrationId": "Dev-1",
            "currentIotHubHostName": "a.example",
            "currentDeviceId": "Pump",
            "symmetricKey": {},
            "payload": '{"a":1}',
        }

    def test_of_a_device_with_a_certificate(self):
        root = pki.root("Line 3")
        leaf = root.issue("dev-1")
        by = admitted(attestation=SigningCertificates(root.der), proof=ProvenChain((leaf.der, root.der)))
        said = json.loads(
            webhooks.allocation_request(by, replace(OPERATION, bootstrap_certificate=leaf.der), [])
        )
        shown = said["deviceRuntimeContext"]["x509"]["clientCertificates"]["primary"]
        assert shown["certificate"] == leaf.pem
        assert shown["info"]["subjectName"] == "CN=dev-1"
        assert shown["info"]["issuerName"] == "CN=Line 3"

    def test_of_a_device_with_a_tpm(self):
        """Its public keys: what the enrollment has, not what the device sent."""
        by = admitted(DEVICE, TpmKeys(TPM.endorsement))
        said = json.loads(webhooks.allocation_request(by, OPERATION, []))
        assert said["deviceRuntimeContext"]["tpm"] == {"endorsementKey": text_of(TPM.endorsement)}

    def test_no_key_and_no_other_webhook_is_told(self):
        allocation = webhooks.allocation_request(admitted(), OPERATION, [])
        admission = webhooks.admission_request(admitted(), OPERATION)
        for body in (allocation, admission):
            assert b"the secret" not in body
            assert b"primaryKey" not in body
        assert b"code=2" not in allocation
        assert b"code=1" not in admission
        assert "linkedHubs" not in json.loads(admission)


class TestAllocationAnswer:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"iotHubHostName":"a"}', Allocation("a", None, None)),
            (b'{"iotHubHostname":"a","payload":null}', Allocation("a", None, None)),
            (b'{"useDefault":true}', Allocation(None, None, None)),
            (b'{"useDefault":true,"payload":{"x": 1}}', Allocation(None, None, b'{"x": 1}')),
            (
                b'{"iotHubHostName":"a","initialTwin":{"tags":{"t":1}},"payload":[1],"more":2}',
                Allocation("a", {"tags": {"t": 1}}, b"[1]"),
            ),
        ],
    )
    def test_what_it_may_be(self, body, said):
        assert webhooks.read_allocation(body) == said

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"null", b"[]", b"{}", b'{"iotHubHostName":1}', b'{"iotHubHostName":""}', b'{"useDefault":false}',
            b'{"iotHubHostName":"a","useDefault":true}', b'{"useDefault":"yes"}', b'{"iotHubHostName":"a"',
            b'{"iotHubHostName":"a","initialTwin":[]}', b'{"iotHubHostName":"a","initialTwin":{"tags":1}}',
            b'{"iotHubHostName":"a","payload":"\xff"}', b'{"iotHubHostName":"a","payload":"' + b"x" * 17_000 + b'"}',
            b'{"iotHubHostName":"a","initialTwin":{"tags":' + b'{"a":' * 30 + b"1" + b"}" * 31 + b"}",
        ],
    )  # fmt: skip
    def test_what_it_may_not_be(self, body):
        with pytest.raises(UpstreamRejected) as refused:
            webhooks.read_allocation(body)
        assert refused.value.rule == "webhook-answer"


class TestVerdict:
    def test_what_it_may_be(self):
        assert webhooks.read_verdict(b'{"allow":true}') == Verdict(True, "")
        assert webhooks.read_verdict(b'{"allow":false,"reason":"not\\n ours"}') == Verdict(False, "not ours")
        assert len(webhooks.read_verdict(b'{"allow":false,"reason":"' + b"x" * 5_000 + b'"}').reason) == 300

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"allow":null}', b'{"allow":"true"}', b'{"allow":1}', b"true"]
    )
    def test_anything_else_allows_nothing(self, body):
        with pytest.raises(UpstreamRejected):
            webhooks.read_verdict(body)


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_answer_is_read_or_refused(body) -> None:
    for read in (webhooks.read_allocation, webhooks.read_verdict):
        try:
            read(body)
        except UpstreamRejected:
            continue


def test_the_signature_covers_time_and_body() -> None:
    key = Secret(b"k" * 16)
    made = webhooks.signature(key, "1800000000", b"{}")
    # printf '1800000000.{}' | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkk
    assert made == SIGNED
    assert webhooks.is_signed(key, "1800000000", b"{}", made)
    for other in (
        ("1800000001", b"{}", key),
        ("1800000000", b"{ }", key),
        ("1800000000", b"{}", Secret(b"x" * 16)),
    ):
        assert not webhooks.is_signed(other[2], other[0], other[1], made)


SIGNED = "sha256=8a76cee95b6f43796d50589d063bd5ae2d8556487e8abc2cd5e0c1825181f7d5"
