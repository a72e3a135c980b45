"""DPS device API documents, both roles (azure-rest-api-specs, deviceprovisioningservices, device)."""

import base64
import contextlib
import json

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.credential import CertificateRecord, Certified, IssuedChain, RenewalWindow
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef, SymmetricKeys
from accredit.domain.errors import Malformed
from accredit.domain.evidence import Attested, DeviceKeys, ProvenChain, ProvenHeld, ProvenTpm
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId, TrustBundleName
from accredit.domain.inclusion import Inclusion
from accredit.domain.issuance_log import PlacedLeaf, unknown_leaf
from accredit.domain.registration import Assigned, Assigning, Ended, Registration, Status, Substatus
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmProof
from accredit.domain.tree_head import TreeHead
from accredit.domain.trust_bundle import TrustBundle
from accredit.values import replace
from accredit.wire import dps, tpm
from accredit.wire.dps_log_proof import log_proof_body
from accredit.wire.pem import IssuerPems
from accredit.wire.service_api.trust_bundles import trust_bundle_json
from support import pki
from support.tpm_device import storage_root_key

NOW = 1_800_000_000.5
DEVICE = RegistrationId.parse("Dev-1")
KEY = Secret(b"k" * 32)
MODULUS = b"\xc5" + bytes(254) + b"\x07"
TPM = (tpm.endorsement_key(MODULUS), storage_root_key(MODULUS))


@pytest.fixture(scope="module")
def device():
    return pki.root("Root").intermediate("Line 3").issue("Dev-1")


def enrollment(*, group=True):
    name = GroupId.parse("Line") if group else DEVICE
    return Enrollment(name, SymmetricKeys(KEY, KEY), "g", "e", 1, 1)


REGISTRATION = Registration(
    registration_id=DEVICE,
    enrollment=EnrollmentRef(EnrollmentKind.GROUP, "line"),
    device_id=DeviceId("dev-ONE"),
    hub="hub.example",
    status=Status.ASSIGNED,
    substatus=Substatus.DEVICE_DATA_MIGRATED,
    operation_id="4.0123456789abcdef.6e0d0a4e-0000-4000-8000-000000000001",
    etag="IjAw",
    created_at=1_700_000_000,
    updated_at=1_800_000_000,
)


def assigned(*, group=True, proof=None, certified=None, csr_field=None, **changes):
    attested = Attested(DEVICE, enrollment(group=group), proof or DeviceKeys(KEY, KEY))
    return Assigned(replace(REGISTRATION, **changes), attested, certified, csr_field)


def certified(entity):
    issued = IssuedChain(entity.chain, 1, 1, 2, b"s", b"k")
    name = AuthorityName.parse("builtin")
    return Certified(
        CertificateRecord(issued, name, "1", "device", DEVICE, DeviceId("d"), "g", b"c", "op", 1), fresh=True
    )


def ended(status=Status.FAILED, **changes):
    made = Ended("op-1", DEVICE, status, 400208, "No hub.", DeviceId("d"), 1_700_000_000, 1_800_000_000, "e")
    return replace(made, **changes)


def state_of(answer):
    status, body, retry_after_s = dps.answer_body(answer, NOW)
    assert (status, retry_after_s) == (200, None)
    return json.loads(body)["registrationState"]


class TestRegisterBody:
    """What each SDK sends."""

    @pytest.mark.parametrize("body", [b"", b" ", b"\r\n", b"{}"])
    def test_nothing(self, body):
        """C# sends nothing at all without a payload; a poll's body is one space."""
        assert dps.register_document(body) == dps.RegisterDocument(None, (), None, None)

    def test_python(self):
        document = dps.register_document(b'{"registrationId": "dev-1", "payload": null}')
        assert (document.registration_id, document.csr_fields, document.payload) == ("dev-1", (), None)

    def test_csharp(self):
        document = dps.register_document(b'{"registrationId":null,"payload":{"a":[1, 2]}}')
        assert (document.registration_id, document.payload) == (None, b'{"a":[1, 2]}')

    def test_java_wraps_the_payload_in_a_string(self):
        assert dps.register_document(rb'{"payload":"{\"a\":1}"}').payload == rb'"{\"a\":1}"'

    @pytest.mark.parametrize("payload", [b"0", b"false", b'""', b"[]", b"1.50", b'{"x":"\xc3\xa9"}'])
    def test_the_payload_is_kept_as_written(self, payload):
        assert dps.register_document(b'{"payload":' + payload + b"}").payload == payload

    def test_csr_of_the_first_preview(self):
        document = dps.register_document(b'{"clientCertificateCsr":"PEM","payload":null}')
        assert document.csr_fields == (("clientCertificateCsr", "PEM"),)

    def test_csr_of_the_later_ones(self):
        assert dps.register_document(b'{"csr":"MII"}').csr_fields == (("csr", "MII"),)

    def test_two_csrs_are_both_told(self):
        document = dps.register_document(b'{"csr":"","clientCertificateCsr":"PEM"}')
        assert document.csr_fields == (("clientCertificateCsr", "PEM"), ("csr", ""))

    def test_null_csr_is_none(self):
        assert dps.register_document(b'{"csr":null,"clientCertificateCsr":null}').csr_fields == ()

    def test_tpm(self):
        document = dps.register_document(dps.register_body("dev-1", tpm=TPM))
        assert document.tpm == TPM
        document.check(DEVICE)

    def test_no_tpm(self):
        document = dps.register_document(b'{"tpm":null}')
        assert document.tpm is None
        document.check_without_tpm(DEVICE)

    def test_tpm_where_no_challenge_can_be_sent(self):
        document = dps.register_document(dps.register_body("dev-1", tpm=TPM))
        with pytest.raises(Malformed) as refusal:
            document.check_without_tpm(DEVICE)
        assert refusal.value.rule == "tpm-unsupported"
        with pytest.raises(Malformed):
            dps.register_document(b'{"registrationId":"dev-2"}').check_without_tpm(DEVICE)

    @pytest.mark.parametrize(
        ("tpm", "rule"),
        [
            (b"{}", "tpm-structure"),
            (b'{"endorsementKey":"AAA="}', "tpm-structure"),
            (b'{"endorsementKey":1}', "body-not-json"),
            (b"[]", "body-not-json"),
            (b"true", "body-not-json"),
        ],
    )
    def test_tpm_without_its_keys(self, tpm, rule):
        with pytest.raises(Malformed) as refusal:
            dps.register_document(b'{"tpm":' + tpm + b"}")
        assert refusal.value.rule == rule

    def test_unknown_members_are_ignored(self):
        assert dps.register_document(b'{"nonce":{"deep":[[]]},"registrationId":"a"}').registration_id == "a"

    @pytest.mark.parametrize("name", ["Dev-1", "dev-1", "DEV-1", None])
    def test_the_id_of_the_call_in_the_body(self, name):
        dps.RegisterDocument(name, (), None, None).check(DEVICE)

    @pytest.mark.parametrize("name", ["dev-2", "", "dev-1 "])
    def test_another_id_in_the_body(self, name):
        with pytest.raises(Malformed) as refusal:
            dps.RegisterDocument(name, (), None, None).check(DEVICE)
        assert refusal.value.rule == "id-mismatch"

    @pytest.mark.parametrize(
        "body",
        [
            b"null",
            b"[]",
            b'"x"',
            b"{",
            b"{}{}",
            b"\xef\xbb\xbf{}",
            b'{"registrationId":1}',
            b'{"csr":{}}',
            b'{"clientCertificateCsr":["x"]}',
            b'{"payload":"\xff"}',
            b'{"\xff":1}',
            b'{"registrationId":"\\ud800"}',
            b'{"payload":' + b"[" * 40_000 + b"]" * 40_000 + b"}",
        ],
    )
    def test_malformed(self, body):
        with pytest.raises(Malformed) as refusal:
            dps.register_document(body)
        assert refusal.value.rule == "body-not-json"

    def test_size(self):
        limit = 96 * 1024
        body = b'{"payload":"' + b"x" * (limit - 14) + b'"}'
        assert len(body) == limit
        assert dps.register_document(body).payload
        with pytest.raises(Malformed) as refusal:
            dps.register_document(body + b" ")
        assert refusal.value.rule == "body-too-large"

    @given(st.binary(max_size=300))
    def test_octets(self, body):
        with contextlib.suppress(Malformed):
            dps.register_document(body)

    @given(
        st.dictionaries(
            st.sampled_from(["registrationId", "csr", "clientCertificateCsr", "payload", "tpm", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=8,
            ),
        )
    )
    def test_documents(self, members):
        text = json.dumps(members)
        body = text.encode()
        try:
            document = dps.register_document(body)
            bridged = document.payload and dps.bridged_csr(document.payload)
        except Malformed:
            return
        for member in ("registrationId", "csr", "clientCertificateCsr"):
            assert isinstance(members.get(member), str | None)
        assert document.registration_id == members.get("registrationId")
        assert json.loads(document.payload or b"null") == members.get("payload")
        assert isinstance(bridged, str | bytes | None)

    @given(
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        st.sampled_from([dps.CLIENT_CERTIFICATE_CSR, dps.CSR, dps.BRIDGED_CSR, None]),
        st.none() | st.dictionaries(st.sampled_from("abc"), st.integers()),
    )
    def test_a_device_is_read_as_it_wrote(self, registration_id, field, payload):
        raw = None if payload is None else json.dumps(payload).encode()
        document = dps.register_document(dps.register_body(registration_id, field, "CSR", raw))
        assert document.registration_id == registration_id
        if field == dps.BRIDGED_CSR:
            assert dps.bridged_csr(document.payload) == "CSR"
            assert json.loads(document.payload) == {**(payload or {}), "clientCertificateCsr": "CSR"}
        else:
            assert document.csr_fields == (((field, "CSR"),) if field else ())
            assert json.loads(document.payload or b"null") == payload


class TestBridgedCSR:
    """A CSR inside the custom payload, for SDKs that know no CSR."""

    @pytest.mark.parametrize(
        "payload",
        [b"1", b"[]", b'"text"', b'"[1]"', b"{}", b'{"clientCertificateCsr":null}', b'{"a":1}', b'"\\"{\\""'],
    )
    def test_none(self, payload):
        assert dps.bridged_csr(payload) is None

    def test_member(self):
        assert dps.bridged_csr(b'{"a":1,"clientCertificateCsr":"PEM\\nTEXT"}') == "PEM\nTEXT"

    def test_java(self):
        inner = json.dumps({"clientCertificateCsr": "PEM"})
        assert dps.bridged_csr(json.dumps(inner).encode()) == "PEM"
        assert dps.bridged_csr(json.dumps(" " + inner).encode()) == "PEM"

    @pytest.mark.parametrize("value", [b"1", b"{}", b"[]", b"true"])
    def test_not_a_string(self, value):
        for payload in (
            b'{"clientCertificateCsr":' + value + b"}",
            json.dumps('{"clientCertificateCsr":' + value.decode() + "}").encode(),
        ):
            with pytest.raises(Malformed) as refusal:
                dps.bridged_csr(payload)
            assert refusal.value.rule == "payload-csr"


class TestAnswer:
    """RegistrationOperationStatus, and what SDKs demand of it."""

    def test_assigning(self):
        status, body, retry_after_s = dps.answer_body(Assigning("4.ab.cd", DEVICE, 3), NOW)
        assert (status, retry_after_s) == (202, 3)
        assert json.loads(body) == {"operationId": "4.ab.cd", "status": "assigning"}

    def test_assigned(self):
        status, body, retry_after_s = dps.answer_body(assigned(), NOW)
        assert (status, retry_after_s) == (200, None)
        assert json.loads(body) == {
            "operationId": REGISTRATION.operation_id,
            "status": "assigned",
            "registrationState": {
                "registrationId": "Dev-1",
                "deviceId": "dev-ONE",
                "assignedHub": "hub.example",
                "status": "assigned",
                "substatus": "deviceDataMigrated",
                "createdDateTimeUtc": "2023-11-14T22:13:20.0000000Z",
                "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
                "etag": "IjAw",
                "symmetricKey": {"enrollmentGroupId": "Line"},
            },
        }

    def test_a_substatus_is_always_there(self):
        """The Python SDK's register() never returns without one."""
        assert state_of(assigned(substatus=None))["substatus"] == "initialAssignment"

    def test_individual_symmetric_key(self):
        assert state_of(assigned(group=False))["symmetricKey"] == {}

    @pytest.mark.parametrize("group", [True, False])
    @pytest.mark.parametrize("held", [True, False], ids=["a certificate held", "a chain"])
    def test_x509(self, device, group, held):
        proof = ProvenHeld(device.der) if held else ProvenChain(device.chain)
        state = state_of(assigned(group=group, proof=proof))
        assert "symmetricKey" not in state
        assert state["x509"].get("enrollmentGroupId") == ("Line" if group else None)
        info = state["x509"]["certificateInfo"]
        assert info.keys() == {
            "subjectName",
            "sha1Thumbprint",
            "sha256Thumbprint",
            "issuerName",
            "notBeforeUtc",
            "notAfterUtc",
            "serialNumber",
            "version",
        }
        assert all(value is not None for value in info.values())
        assert (info["subjectName"], info["issuerName"], info["version"]) == ("CN=Dev-1", "CN=Line 3", 3)
        assert int(info["serialNumber"], 16) == device.certificate.serial_number

    def test_payload_of_the_registration(self):
        assert state_of(assigned(payload=b'{"b": [1]}'))["payload"] == {"b": [1]}
        assert "payload" not in state_of(assigned())

    @pytest.mark.parametrize("status", [Status.FAILED, Status.DISABLED])
    def test_ended_has_a_state(self, status):
        """C# and Java read registrationState without looking whether it is there."""
        code, body, retry_after_s = dps.answer_body(ended(status), NOW)
        assert (code, retry_after_s) == (200, None)
        document = json.loads(body)
        assert (document["operationId"], document["status"]) == ("op-1", status.value)
        state = document["registrationState"]
        assert (state["registrationId"], state["status"]) == ("Dev-1", status.value)
        assert (state["errorCode"], state["errorMessage"], state["deviceId"]) == (400208, "No hub.", "d")
        assert "assignedHub" not in state

    def test_ended_with_nothing_to_say(self):
        state = state_of(ended(Status.DISABLED, error_code=None, error_message=None, device_id=None))
        assert state.keys() == {
            "registrationId",
            "status",
            "createdDateTimeUtc",
            "lastUpdatedDateTimeUtc",
            "etag",
        }

    def test_a_client_reads_it(self):
        answer = dps.parse_answer(dps.answer_body(assigned(), NOW)[1])
        assert (answer.operation_id, answer.status) == (REGISTRATION.operation_id, "assigned")
        assert answer.registration_state["deviceId"] == "dev-ONE"
        refused = dps.parse_answer(dps.error_body(401002, "Unauthorized", "id", NOW))
        assert (refused.error_code, refused.message, refused.status) == (401002, "Unauthorized", None)

    @given(st.binary(max_size=100))
    def test_a_client_survives_anything(self, body):
        with contextlib.suppress(Malformed):
            dps.parse_answer(body)


class TestTPM:
    """Azure: the C, C# and Java SDKs refuse an assignment without a key for the hub."""

    def test_an_assignment_carries_the_hub_s_key(self):
        proof = ProvenTpm(TPM[0], TpmProof(TPM[1], 7), KEY)
        state = state_of(replace(assigned(group=False, proof=proof), tpm_activation=b"blob"))
        assert state["tpm"] == {"authenticationKey": "YmxvYg=="}
        assert "symmetricKey" not in state
        assert "x509" not in state

    def test_a_look_up_does_not(self):
        proof = ProvenTpm(TPM[0], TpmProof(TPM[1], 7), KEY)
        assert "tpm" not in json.loads(dps.registration_body(assigned(group=False, proof=proof)))


class TestCertificatesInTheAnswer:
    """Each CSR field has its own form of answer."""

    def test_client_certificate_csr(self, device):
        state = state_of(assigned(certified=certified(device), csr_field="clientCertificateCsr"))
        found = x509.load_pem_x509_certificates(state["issuedClientCertificate"].encode())
        assert [one.public_bytes(pki.DER) for one in found] == list(device.chain[:2])
        assert "issuedCertificateChain" not in state
        assert "payload" not in state

    def test_csr(self, device):
        state = state_of(assigned(certified=certified(device), csr_field="csr"))
        assert [base64.b64decode(one, validate=True) for one in state["issuedCertificateChain"]] == list(
            device.chain
        )
        assert "issuedClientCertificate" not in state

    def test_bridged(self, device):
        answer = assigned(
            certified=certified(device), csr_field=dps.BRIDGED_CSR, payload=b'{"colour": "red", "n": 1.50}'
        )
        state = state_of(answer)
        assert state["payload"].keys() == {"colour", "n", "issuedClientCertificate"}
        assert state["payload"]["colour"] == "red"
        found = x509.load_pem_x509_certificates(state["payload"]["issuedClientCertificate"].encode())
        assert len(found) == 2
        assert "issuedClientCertificate" not in state

    def test_bridged_without_a_payload(self, device):
        state = state_of(assigned(certified=certified(device), csr_field=dps.BRIDGED_CSR))
        assert state["payload"].keys() == {"issuedClientCertificate"}

    def test_bridged_with_a_payload_that_is_no_object(self, device):
        """Java takes nothing but an object for `payload`."""
        state = state_of(assigned(certified=certified(device), csr_field=dps.BRIDGED_CSR, payload=b"[1,2]"))
        assert state["payload"].keys() == {"payload", "issuedClientCertificate"}
        assert state["payload"]["payload"] == [1, 2]

    def test_what_is_issued_wins_over_a_payload_member_of_the_name(self, device):
        payload = b'{"issuedClientCertificate":"forged"}'
        answer = assigned(certified=certified(device), csr_field=dps.BRIDGED_CSR, payload=payload)
        body = dps.answer_body(answer, NOW)[1]
        assert b"forged" not in body
        assert body.count(b'"issuedClientCertificate"') == 1

    def test_remembered_issuers_change_nothing(self, device):
        issuers = IssuerPems()
        answer = assigned(certified=certified(device), csr_field="clientCertificateCsr")
        bodies = {dps.answer_body(answer, NOW, issuers)[1] for _ in range(2)}
        assert bodies == {dps.answer_body(answer, NOW)[1]}


class TestTrustBundle:
    """TrustBundle of the C# preview SDK, beside whatever else the answer carries."""

    BUNDLE = TrustBundle(
        TrustBundleName.parse("Roots"), (pki.root("R").der,), "b1", 1_700_000_000, 1_800_000_000
    )

    def test_without_a_csr(self):
        state = state_of(replace(assigned(), trust_bundle=self.BUNDLE))
        assert state["trustBundle"] == json.loads(trust_bundle_json(self.BUNDLE))
        assert "payload" not in state

    @pytest.mark.parametrize("field", ["csr", "clientCertificateCsr"])
    def test_beside_a_certificate(self, device, field):
        answer = assigned(certified=certified(device), csr_field=field)
        assert state_of(replace(answer, trust_bundle=self.BUNDLE))["trustBundle"]["id"] == "Roots"

    def test_in_the_payload_where_the_csr_came_in_it(self, device):
        payload = b'{"trustBundle":"forged","colour":"red"}'
        answer = assigned(certified=certified(device), csr_field=dps.BRIDGED_CSR, payload=payload)
        state = state_of(replace(answer, trust_bundle=self.BUNDLE))
        assert state["payload"].keys() == {"colour", "issuedClientCertificate", "trustBundle"}
        assert state["payload"]["trustBundle"] == state["trustBundle"]

    def test_in_a_look_up(self, device):
        answer = replace(assigned(certified=certified(device), csr_field="csr"), trust_bundle=self.BUNDLE)
        state = json.loads(dps.registration_body(answer))
        assert state["trustBundle"]["id"] == "Roots"
        assert "issuedCertificateChain" not in state


class TestLookup:
    """DeviceRegistrationResult by itself, never with certificates."""

    @pytest.mark.parametrize("field", ["csr", "clientCertificateCsr", dps.BRIDGED_CSR])
    def test_assigned(self, device, field):
        answer = assigned(certified=certified(device), csr_field=field, payload=b'{"a":1}')
        state = json.loads(dps.registration_body(answer))
        assert (state["registrationId"], state["status"], state["assignedHub"]) == (
            "Dev-1",
            "assigned",
            "hub.example",
        )
        assert state["payload"] == {"a": 1}
        assert not {"issuedClientCertificate", "issuedCertificateChain"} & state.keys()

    def test_ended(self):
        assert json.loads(dps.registration_body(ended()))["status"] == "failed"


class TestErrorBody:
    def test_error_body(self):
        assert json.loads(dps.error_body(401002, "Unauthorized", "a-guid", 1_552_679_022.5)) == {
            "errorCode": 401002,
            "trackingId": "a-guid",
            "message": "Unauthorized",
            "timestampUtc": "2019-03-15T19:43:42.5000000Z",
        }


class TestRenewal:
    """When the certificate is best renewed, beside it."""

    WINDOW = RenewalWindow(0, 120, 60)
    SHOWN = {
        "renewAt": "1970-01-01T00:01:00.0000000Z",
        "windowOpens": "1970-01-01T00:00:00.0000000Z",
        "windowCloses": "1970-01-01T00:02:00.0000000Z",
    }

    @pytest.mark.parametrize("field", ["clientCertificateCsr", "csr"])
    def test_in_the_state(self, field):
        answer = replace(
            assigned(certified=certified(pki.root("dev-1")), csr_field=field), renewal=self.WINDOW
        )
        _, body, _ = dps.answer_body(answer, 1)
        assert json.loads(body)["registrationState"]["certificateRenewal"] == self.SHOWN

    def test_in_the_payload_where_the_certificate_is_there(self):
        answer = replace(
            assigned(certified=certified(pki.root("dev-1")), csr_field=dps.BRIDGED_CSR), renewal=self.WINDOW
        )
        state = json.loads(dps.answer_body(answer, 1)[1])["registrationState"]
        assert state["payload"]["certificateRenewal"] == self.SHOWN
        assert "certificateRenewal" not in state


class TestLogProof:
    """That the issuance log covers the certificate, for a device that asks."""

    @pytest.mark.parametrize(
        ("payload", "asks"),
        [
            (b'{"issuanceLogProof":true}', True),
            (b'{"clientCertificateCsr":"CSR","issuanceLogProof":true,"a":[1]}', True),
            (json.dumps('{"issuanceLogProof": true}').encode(), True),
            (b'{"issuanceLogProof":false}', False),
            (b'{"issuanceLogProof":null}', False),
            (b'{"issuanceLogProof":"true"}', False),
            (b'{"issuanceLogProof":{"true":true}}', False),
            (b'{"a":{"issuanceLogProof":true}}', False),
            (b'[{"issuanceLogProof":true}]', False),
            (b'{"issuanceLogProof":true', False),
            (b'"no json inside"', False),
            (b"7", False),
            (None, False),
        ],
    )
    def test_who_asks(self, payload, asks):
        assert dps.asks_for_log_proof(payload) is asks

    FOUND = Inclusion(
        PlacedLeaf(unknown_leaf(AuthorityName.parse("MyCA"), b"c" * 32, 8), 41, 3),
        TreeHead(7, b"r" * 32, 9, b"k" * 32, b"s" * 64),
        [b"\x01" * 32, b"\x02" * 32],
    )

    def state(self, field):
        answer = replace(
            assigned(certified=certified(pki.root("dev-1")), csr_field=field), log_proof=self.FOUND
        )
        return json.loads(dps.answer_body(answer, 1)[1])["registrationState"]

    @pytest.mark.parametrize("field", ["clientCertificateCsr", "csr"])
    def test_in_the_state(self, field):
        shown = self.state(field)["issuanceLogProof"]
        assert shown == json.loads(log_proof_body(self.FOUND))
        assert (shown["sequence"], shown["authority"], shown["loggedAt"]) == (3, "myca", 8)
        assert shown["proof"] == ["01" * 32, "02" * 32]
        assert shown["leafHash"] == self.FOUND.placed.leaf.leaf_hash.hex()
        assert shown["head"]["treeSize"] == 7

    def test_in_the_payload_where_the_certificate_is_there(self):
        state = self.state(dps.BRIDGED_CSR)
        assert state["payload"]["issuanceLogProof"]["sequence"] == 3
        assert "issuanceLogProof" not in state
