"""Enrollment documents: what is accepted, what is refused, what is shown."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import (
    Enrollment,
    EnrollmentKind,
    EnrollmentRef,
    ReprovisionPolicy,
    SigningCertificates,
    SymmetricKeys,
)
from accredit.domain.errors import Malformed
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId
from accredit.domain.registration import Registration, Status, Substatus
from accredit.domain.secret import Secret
from accredit.wire.service_api.attestations import (
    KeysSent,
)
from accredit.wire.service_api.certificates import certificate_info
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.enrollments import EnrollmentSent, enrollment_document, read_enrollment
from accredit.wire.tpm import text_of
from support import pki
from support.tpm_device import TpmDevice

DEVICE = RegistrationId.parse("Dev-1")
GROUP = GroupId.parse("Line-1")
ROOT = pki.root("root")
LEAF = ROOT.issue("Dev-1")
TPM = TpmDevice()
EK = text_of(TPM.endorsement)
SRK = text_of(TPM.storage_root)
SYMMETRIC = {"type": "symmetricKey"}


def individual(**members: Any) -> EnrollmentSent:
    document = {"registrationId": "dev-1", "attestation": SYMMETRIC, **members}
    return read_enrollment(json.dumps(document).encode(), DEVICE)


def group(**members: Any) -> EnrollmentSent:
    document = {"enrollmentGroupId": "Line-1", "attestation": SYMMETRIC, **members}
    return read_enrollment(json.dumps(document).encode(), GROUP)


def key(size: int) -> str:
    return base64.b64encode(b"k" * size).decode()


def client_certificates(text: str) -> dict[str, Any]:
    return {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": text}}}}


def signing_certificates(text: str) -> dict[str, Any]:
    return {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": text}}}}


def test_the_founding_documents_body() -> None:
    body = (
        b'{ "registrationId": "mydevice1", "attestation": { "type": "symmetricKey" }, '
        b'"clientCertificateIssuancePolicy": {"certificateAuthorityName":"myca1"} }'
    )
    sent = read_enrollment(body, RegistrationId.parse("mydevice1"))
    assert sent.authority == AuthorityName.parse("myca1")
    assert sent.attestation == KeysSent(None, None)
    assert sent.enabled
    assert sent.allocation_policy == "hashed"
    assert sent.reprovision == ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=True)


def test_every_member_is_read() -> None:
    twin = {"tags": {"site": "7"}, "properties": {"desired": {"rate": 1.5, "list": [1, None]}}}
    sent = individual(
        deviceId="Thing:1",
        provisioningStatus="disabled",
        capabilities={"iotEdge": True},
        reprovisionPolicy={"updateHubAssignment": False, "migrateDeviceData": False},
        allocationPolicy="static",
        iotHubs=["Hub-A", "hub-a", "hub-b"],
        initialTwin=twin,
        optionalDeviceInformation={"a": {"b": 1}},
        customAllocationDefinition={"webhookUrl": "https://x", "apiVersion": "2019-03-31"},
        someday={"unknown": True},
    )
    assert (sent.device_id, sent.enabled, sent.iot_edge) == (DeviceId("Thing:1"), False, True)
    assert sent.reprovision == ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False)
    assert (sent.allocation_policy, sent.hubs) == ("static", ("hub-a", "hub-b"))
    assert sent.initial_twin == twin
    assert sent.settings == {
        "optionalDeviceInformation": {"a": {"b": 1}},
        "customAllocationDefinition": {"webhookUrl": "https://x", "apiVersion": "2019-03-31"},
    }


def test_nulls_count_as_absent() -> None:
    nulls = dict.fromkeys(
        (
            "deviceId",
            "provisioningStatus",
            "capabilities",
            "reprovisionPolicy",
            "allocationPolicy",
            "iotHubs",
            "iotHubHostName",
            "initialTwin",
            "optionalDeviceInformation",
            "customAllocationDefinition",
            "clientCertificateIssuancePolicy",
            "trustBundleId",
            "credentialPolicyName",
            "etag",
            "registrationState",
        )
    )
    assert individual(**nulls) == individual()


class TestCredentialPolicy:
    """2025-07-01-preview: the policy's name is the authority's."""

    def test_alone(self) -> None:
        sent = individual(credentialPolicyName="My-CA")
        assert sent.authority == AuthorityName.parse("my-ca")
        assert sent.settings == {"credentialPolicyName": "My-CA"}

    def test_beside_the_same_name_in_the_older_member(self) -> None:
        issuance = {"certificateAuthorityName": "my-ca"}
        sent = group(credentialPolicyName="My-CA", clientCertificateIssuancePolicy=issuance)
        assert sent.authority == AuthorityName.parse("my-ca")
        assert sent.settings["clientCertificateIssuancePolicy"] == issuance

    def test_without_a_name_it_was_not_sent(self) -> None:
        sent = individual(
            credentialPolicyName="", clientCertificateIssuancePolicy={"certificateAuthorityName": "a"}
        )
        assert (sent.authority, sent.settings) == (AuthorityName.parse("a"), {})


def test_the_older_host_name_makes_a_static_enrollment() -> None:
    sent = individual(iotHubHostName="Hub-A")
    assert (sent.allocation_policy, sent.hubs, sent.settings) == (
        "static",
        ("hub-a",),
        {"iotHubHostName": "hub-a"},
    )


def test_the_list_of_hubs_counts_where_both_are_given() -> None:
    sent = individual(iotHubHostName="hub-a", iotHubs=["hub-b"])
    assert (sent.hubs, sent.settings) == (("hub-b",), {})


def test_a_groups_own_members() -> None:
    sent = group(idPattern="line-[0-9]+", deviceId="ignored", optionalDeviceInformation={"ignored": 1})
    assert (sent.kind, sent.device_id, sent.settings) == (
        EnrollmentKind.GROUP,
        None,
        {"idPattern": "line-[0-9]+"},
    )


def test_a_group_has_no_tpm() -> None:
    body = {"enrollmentGroupId": "Line-1", "attestation": {"type": "tpm", "tpm": {"endorsementKey": EK}}}
    with pytest.raises(Malformed) as refused:
        read_enrollment(json.dumps(body).encode(), GROUP)
    assert refused.value.rule == "attestation-type"


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"registrationId": "dev-2"}, "id-mismatch"),
        ({"registrationId": None}, "id-mismatch"),
        ({"registrationId": 1}, "document-invalid"),
        ({"attestation": None}, "attestation-missing"),
        ({"attestation": {}}, "document-invalid"),
        ({"attestation": {"type": "none"}}, "attestation-type"),
        ({"attestation": {"type": "tpm", "tpm": {"endorsementKey": "x"}}}, "tpm-structure"),
        ({"attestation": {"type": "tpm", "tpm": {"endorsementKey": 1}}}, "document-invalid"),
        ({"attestation": {"type": "tpm", "tpm": {}, "symmetricKey": {}}}, "attestation-two"),
        ({"attestation": {"type": "tpm", "tpm": {"endorsementKey": "MIIA"}}}, "certificate-unreadable"),
        (
            {"attestation": {"type": "tpm", "tpm": {"endorsementKey": "-----BEGIN X-----"}}},
            "certificate-unreadable",
        ),
        (
            {"attestation": {"type": "tpm", "tpm": {"endorsementKey": EK, "storageRootKey": "x"}}},
            "tpm-structure",
        ),
        ({"attestation": {"type": "symmetricKey", "x509": {}}}, "attestation-two"),
        ({"attestation": {"type": "x509", "x509": {}, "symmetricKey": {}}}, "attestation-two"),
        ({"attestation": {"type": "symmetricKey", "tpm": {}}}, "attestation-two"),
        ({"attestation": {"type": "x509"}}, "attestation-missing"),
        (
            {"attestation": {"type": "x509", "x509": {"caReferences": {"secondary": "a"}}}},
            "attestation-missing",
        ),
        (
            {"attestation": {"type": "x509", "x509": {"caReferences": {"primary": "a b"}}}},
            "id-grammar",
        ),
        (
            {
                "attestation": {
                    "type": "x509",
                    "x509": {
                        "caReferences": {"primary": "a"},
                        "clientCertificates": {"primary": {"certificate": LEAF.pem}},
                    },
                }
            },
            "attestation-two",
        ),
        ({"attestation": {"type": "x509", "x509": {"clientCertificates": {}}}}, "attestation-missing"),
        (
            {"attestation": {"type": "x509", "x509": {"clientCertificates": {}, "signingCertificates": {}}}},
            "attestation-two",
        ),
        ({"attestation": signing_certificates(ROOT.pem)}, "attestation-missing"),
        ({"attestation": {**SYMMETRIC, "symmetricKey": {"primaryKey": key(15)}}}, "key-size"),
        ({"attestation": {**SYMMETRIC, "symmetricKey": {"secondaryKey": key(65)}}}, "key-size"),
        ({"attestation": {**SYMMETRIC, "symmetricKey": {"primaryKey": key(32)[:-1] + "!"}}}, "key-size"),
        ({"attestation": {**SYMMETRIC, "symmetricKey": {"primaryKey": "ü" * 30}}}, "key-size"),
        ({"deviceId": "a b"}, "id-grammar"),
        ({"provisioningStatus": "paused"}, "provisioning-status"),
        ({"allocationPolicy": "random"}, "allocation-policy"),
        ({"allocationPolicy": "custom"}, "webhook-definition"),
        ({"customAllocationDefinition": {"webhookUrl": "http://x"}}, "webhook-definition"),
        ({"preRegistrationWebhook": {"webhookUrl": "ftp://x"}}, "webhook-definition"),
        ({"allocationRule": [{"hub": "a", "when": "maybe"}]}, "allocation-rule"),
        ({"allocationRule": [{"hub": "a", "wehn": "true"}]}, "document-invalid"),
        ({"allocationRegions": [""]}, "allocation-regions"),
        ({"iotHubs": [f"h{n}" for n in range(51)]}, "hub-count"),
        ({"iotHubs": "hub"}, "document-invalid"),
        ({"trustBundleId": "a b"}, "id-grammar"),
        ({"trustBundleId": 1}, "document-invalid"),
        ({"credentialPolicyName": "a b"}, "id-grammar"),
        ({"credentialPolicyName": 1}, "document-invalid"),
        (
            {
                "credentialPolicyName": "a",
                "clientCertificateIssuancePolicy": {"certificateAuthorityName": "b"},
            },
            "credential-policy",
        ),
        ({"clientCertificateIssuancePolicy": {}}, "document-invalid"),
        (
            {"clientCertificateIssuancePolicy": {"certificateAuthorityName": "a", "profil": "b"}},
            "document-invalid",
        ),
        ({"clientCertificateIssuancePolicy": {"certificateAuthorityName": "a b"}}, "id-grammar"),
        ({"initialTwin": []}, "document-invalid"),
        ({"initialTwin": {"tags": []}}, "initial-twin"),
        ({"initialTwin": {"properties": 1}}, "initial-twin"),
        ({"initialTwin": {"properties": {"desired": []}}}, "initial-twin"),
        ({"capabilities": {"iotEdge": "yes"}}, "document-invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:60],
)
def test_refusals(members: dict[str, Any], rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        individual(**members)
    assert refused.value.rule == rule


def test_what_was_sent_names_its_enrollment() -> None:
    assert individual().ref == EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1")
    assert group().ref == EnrollmentRef(EnrollmentKind.GROUP, "line-1")


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "x" * 257, "*"])
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(Malformed) as refused:
        group(idPattern=pattern)
    assert refused.value.rule == "id-pattern"


def test_query_is_no_id() -> None:
    with pytest.raises(Malformed) as refused:
        read_enrollment(
            b'{"registrationId":"Query","attestation":{"type":"symmetricKey"}}', RegistrationId.parse("query")
        )
    assert refused.value.rule == "id-reserved"


@pytest.mark.parametrize("size", [16, 32, 64])
def test_keys_of_every_allowed_size(size: int) -> None:
    sent = individual(
        attestation={**SYMMETRIC, "symmetricKey": {"primaryKey": key(size), "secondaryKey": ""}}
    )
    assert sent.attestation == KeysSent(Secret(b"k" * size), None)


def stored(**members: Any) -> Enrollment:
    values: dict[str, Any] = {
        "id": DEVICE,
        "attestation": SymmetricKeys(Secret(b"p" * 32), Secret(b"s" * 32)),
        "generation": "g",
        "etag": "e1",
        "created_at": 1_800_000_000,
        "updated_at": 1_800_000_001,
        **members,
    }
    return Enrollment(**values)


class TestAnswers:
    def test_the_least(self) -> None:
        assert enrollment_document(stored()) == {
            "registrationId": "Dev-1",
            "attestation": {"type": "symmetricKey"},
            "capabilities": {"iotEdge": False},
            "etag": '"e1"',
            "provisioningStatus": "enabled",
            "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
            "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
            "lastUpdatedDateTimeUtc": "2027-01-15T08:00:01.0000000Z",
            "allocationPolicy": "hashed",
        }

    def test_keys_only_where_they_are_asked_for(self) -> None:
        shown = enrollment_document(stored(), keys_shown=True)["attestation"]
        assert shown == {
            "type": "symmetricKey",
            "symmetricKey": {
                "primaryKey": base64.b64encode(b"p" * 32).decode(),
                "secondaryKey": base64.b64encode(b"s" * 32).decode(),
            },
        }

    def test_certificates_are_shown_as_info_alone(self) -> None:
        enrollment = stored(id=GROUP, attestation=SigningCertificates(ROOT.der))
        shown = enrollment_document(enrollment, keys_shown=True)
        assert shown["enrollmentGroupId"] == "Line-1"
        assert shown["attestation"] == {
            "type": "x509",
            "x509": {"signingCertificates": {"primary": {"info": certificate_info(ROOT.der)}}},
        }

    def test_the_registration_state(self) -> None:
        state = Registration(
            registration_id=DEVICE,
            enrollment=stored().ref,
            device_id=DeviceId("Dev-1"),
            hub="localhost",
            status=Status.ASSIGNED,
            substatus=Substatus.INITIAL_ASSIGNMENT,
            operation_id="op",
            etag="r1",
            created_at=1_800_000_000,
            updated_at=1_800_000_000,
            payload=b'{"a": [1]}',
        )
        shown = json.loads(write(enrollment_document(stored(), registration=state)))["registrationState"]
        assert shown == {
            "registrationId": "Dev-1",
            "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
            "assignedHub": "localhost",
            "deviceId": "Dev-1",
            "status": "assigned",
            "substatus": "initialAssignment",
            "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
            "etag": '"r1"',
            "payload": {"a": [1]},
        }

    def test_what_is_shown_can_be_sent_back(self) -> None:
        enrollment = stored(
            device_id=DeviceId("Thing"),
            authority=AuthorityName.parse("Builtin"),
            enabled=False,
            allocation_policy="static",
            hubs=("hub-a", "hub-b"),
            iot_edge=True,
            initial_twin={"tags": {"a": 1}, "properties": {"desired": {}}},
            reprovision=ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=True),
            settings={"optionalDeviceInformation": {"x": None}},
        )
        sent = read_enrollment(write(enrollment_document(enrollment, keys_shown=True)), DEVICE)
        for member in (
            "device_id",
            "authority",
            "enabled",
            "allocation_policy",
            "hubs",
            "iot_edge",
            "initial_twin",
        ):
            assert getattr(sent, member) == getattr(enrollment, member), member
        assert sent.reprovision == enrollment.reprovision
        assert sent.settings == enrollment.settings
        assert sent.attestation == KeysSent(Secret(b"p" * 32), Secret(b"s" * 32))

    def test_a_host_name_is_shown_as_it_was_given(self) -> None:
        shown = enrollment_document(stored(hubs=("hub-a",), settings={"iotHubHostName": "hub-a"}))
        assert shown["iotHubHostName"] == "hub-a"
        assert "iotHubs" not in shown


MEMBERS = st.sampled_from(
    [
        "attestation",
        "deviceId",
        "provisioningStatus",
        "capabilities",
        "reprovisionPolicy",
        "allocationPolicy",
        "iotHubs",
        "iotHubHostName",
        "initialTwin",
        "idPattern",
        "customAllocationDefinition",
        "preRegistrationWebhook",
        "webhookUrl",
        "allocationRule",
        "when",
        "hub",
        "allocationRegions",
        "clientCertificateIssuancePolicy",
        "optionalDeviceInformation",
        "type",
        "symmetricKey",
        "primaryKey",
        "x509",
        "tpm",
        "endorsementKey",
        "storageRootKey",
        "clientCertificates",
        "signingCertificates",
        "primary",
        "certificate",
        "info",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["symmetricKey", "x509", "static"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(MEMBERS, VALUES, max_size=6))
def test_only_malformed_leaves_whatever_is_sent(members: dict[str, Any]) -> None:
    for read_it in (individual, group):
        with suppress(Malformed):
            read_it(**members)


@given(st.binary(max_size=300))
def test_only_malformed_leaves_for_bytes(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_enrollment(body, DEVICE)


class TestAuthoritiesInOrder:
    """`certificateAuthorityNames` (an extension)."""

    def test_the_first_is_the_authority_and_all_are_shown(self) -> None:
        sent = individual(clientCertificateIssuancePolicy={"certificateAuthorityNames": ["One", "two"]})
        assert sent.authority == AuthorityName.parse("one")
        made = Enrollment(
            DEVICE, SymmetricKeys(Secret(b"p"), Secret(b"s")), "g", "e", 1, 1,
            authority=sent.authority, settings=sent.settings,
        )  # fmt: skip
        assert [name.text for name in made.authorities] == ["One", "two"]
        assert [name.key for name in made.named] == ["two"]
        shown = enrollment_document(made)
        assert shown["clientCertificateIssuancePolicy"] == {
            "certificateAuthorityName": "One",
            "certificateAuthorityNames": ["One", "two"],
        }
        assert "certificateAuthorityNames" not in shown
        assert (
            individual(**{**shown, "registrationId": "dev-1", "attestation": SYMMETRIC}).settings
            == sent.settings
        )

    def test_beside_the_first_or_a_credential_policy(self) -> None:
        names = {"certificateAuthorityName": "one", "certificateAuthorityNames": ["one", "two"]}
        assert individual(clientCertificateIssuancePolicy=names).authority == AuthorityName.parse("one")
        policy = {"certificateAuthorityNames": ["one", "two"]}
        sent = individual(credentialPolicyName="one", clientCertificateIssuancePolicy=policy)
        assert sent.settings["certificateAuthorityNames"] == ["one", "two"]

    @pytest.mark.parametrize(
        "policy",
        [
            {"certificateAuthorityNames": []},
            {"certificateAuthorityNames": ["a", "A"]},
            {"certificateAuthorityNames": ["a", "b", "c", "d", "e", "f"]},
            {"certificateAuthorityNames": ["a", "b"], "certificateAuthorityName": "b"},
        ],
    )
    def test_what_is_no_list_of_authorities(self, policy: dict[str, Any]) -> None:
        with pytest.raises(Malformed) as refusal:
            individual(clientCertificateIssuancePolicy=policy)
        assert refusal.value.rule == "document-invalid"
