"""The three device calls as HTTP clients see them: real routes, a stand-in for the ceremony behind them."""

import json
import uuid
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette

from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef, SymmetricKeys
from accredit.domain.errors import NotFound, Throttled, Unauthenticated, UpstreamUnavailable
from accredit.domain.evidence import Attested, DeviceKeys, NothingShown, PresentedChain, SasToken
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.registration import (
    Assigned,
    Assigning,
    Challenged,
    Ended,
    Registration,
    Request,
    Status,
)
from accredit.domain.secret import Secret
from accredit.fronts import device_api
from accredit.values import replace
from accredit.wire import dps, sas
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.tpm_device import TpmDevice

SCOPE = "0ne00ABCDEF"
TPM = TpmDevice()
BASE = f"/{SCOPE}/registrations/dev-1"
QUERY = {"api-version": "2019-03-31"}
TOKEN = sas.make(f"{SCOPE}/registrations/dev-1", b"k" * 32, 2_000_000_000)
DEVICE = RegistrationId.parse("dev-1")
KEY = Secret(b"k" * 32)
OPERATION = "4.0123456789abcdef.6e0d0a4e-0000-4000-8000-000000000001"

ASSIGNED = Assigned(
    Registration(
        DEVICE,
        EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1"),
        DeviceId("dev-1"),
        "hub.example",
        Status.ASSIGNED,
        None,
        OPERATION,
        "etag",
        1_700_000_000,
        1_700_000_000,
    ),
    Attested(DEVICE, Enrollment(DEVICE, SymmetricKeys(KEY, KEY), "g", "e", 1, 1), DeviceKeys(KEY, KEY)),
    None,
    None,
)


@dataclass
class Ceremony:
    """Answers what the test says, and remembers what it was asked."""

    answer: object = ASSIGNED
    asked: list = field(default_factory=list)
    id_scope: str = SCOPE
    unreads: list = field(default_factory=list)
    throttles: Throttled | None = None

    async def register(self, request):
        return self._said("register", request)

    async def status(self, request, operation_id):
        return self._said(f"status {operation_id}", request)

    async def challenge(self, request):
        return self._said("challenge", request)

    async def lookup(self, request):
        return self._said("lookup", request)

    def unread(self, refusal, *, registration_id, source, tracking_id):
        self.unreads.append((refusal.rule, registration_id, tracking_id))
        return refusal if self.throttles is None else self.throttles

    def _said(self, call, request):
        self.asked.append((call, request))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def request(self) -> Request:
        assert len(self.asked) == 1
        return self.asked[0][1]


@pytest.fixture
def ceremony():
    return Ceremony()


@pytest.fixture
def chain():
    """What the device shows in TLS; a test fills it."""
    return []


@pytest.fixture
async def client(ceremony, chain):
    app = Starlette(routes=device_api.routes(ceremony, HandClock(), CountedEntropy()))

    async def over_tls(scope, receive, send):
        scope["extensions"] = {"tls": {"client_cert_chain_der": tuple(chain)}}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(over_tls, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="https://dps.example", params=QUERY) as made:
        yield made


def refusal(answer, http, code):
    """Every refusal is Azure's error document, with its number in the header as well."""
    assert answer.status_code == http
    assert "application/json" in answer.headers["content-type"]
    assert answer.headers["x-ms-error-code"] == str(code)
    document = answer.json()
    assert document["errorCode"] == code
    assert document["trackingId"] == answer.headers["x-ms-request-id"]
    assert str(uuid.UUID(document["trackingId"])) == document["trackingId"]
    return document["message"]


class TestTPM:
    """Checklist 15: prov_device_ll_client.c (C), http.js (Node), TpmDelegatingHandler.cs, ContractAPIHttp.java."""

    BODY = dps.register_body("dev-1", tpm=(TPM.endorsement, TPM.storage_root))

    async def test_without_a_token_it_is_challenged(self, client, ceremony):
        ceremony.answer = Challenged(b"the blob")
        answer = await client.put(f"{BASE}/register", content=self.BODY)
        assert refusal(answer, 401, 401002) == "Unauthorized"
        assert answer.json()["authenticationKey"] == "dGhlIGJsb2I="
        assert answer.json()["keyName"] == "registration"
        assert "status" not in answer.json()
        assert [call for call, _ in ceremony.asked] == ["challenge"]
        assert ceremony.request.evidence == TPM.endorsed()

    async def test_with_a_token_it_registers(self, client, ceremony):
        await client.put(f"{BASE}/register", content=self.BODY, headers={"authorization": TOKEN})
        assert [call for call, _ in ceremony.asked] == ["register"]
        assert ceremony.request.evidence == TPM.endorsed(TOKEN)

    async def test_a_named_tpm_counts_before_a_client_certificate(self, client, ceremony, chain):
        chain[:] = [b"leaf"]
        ceremony.answer = Challenged(b"the blob")
        await client.put(f"{BASE}/register", content=self.BODY)
        assert ceremony.request.evidence == TPM.endorsed()

    async def test_one_that_is_not_enrolled_is_told_as_a_failed_registration(self, client, ceremony):
        """ProvisioningE2ETests.cs: a normal result, `failed` with 404201."""
        ceremony.answer = Ended(OPERATION, DEVICE, Status.FAILED, 404201, "No such.", None, 1, 1, "")
        answer = await client.put(f"{BASE}/register", content=self.BODY)
        assert answer.status_code == 200
        state = answer.json()["registrationState"]
        assert (answer.json()["status"], state["errorCode"]) == ("failed", 404201)
        assert "assignedHub" not in state

    async def test_an_assignment_brings_the_hub_s_key(self, client, ceremony):
        ceremony.answer = replace(ASSIGNED, tpm_activation=b"blob")
        answer = await client.put(f"{BASE}/register", content=self.BODY, headers={"authorization": TOKEN})
        assert answer.json()["registrationState"]["tpm"] == {"authenticationKey": "YmxvYg=="}

    async def test_a_look_up_is_not_challenged(self, client, ceremony):
        await client.post(BASE, content=self.BODY)
        assert [call for call, _ in ceremony.asked] == ["lookup"]
        assert ceremony.request.evidence == TPM.endorsed()


class TestRegister:
    async def test_assigned(self, client, ceremony):
        answer = await client.put(
            f"{BASE}/register", json={"registrationId": "dev-1"}, headers={"authorization": TOKEN}
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert "retry-after" not in answer.headers
        assert answer.json()["registrationState"]["assignedHub"] == "hub.example"
        request = ceremony.request
        assert request.registration_id == DEVICE
        assert request.api_version == "2019-03-31"
        assert request.source == "192.0.2.7"
        assert request.tracking_id == answer.headers["x-ms-request-id"]

    async def test_assigning(self, client, ceremony):
        ceremony.answer = Assigning(OPERATION, DEVICE, 3)
        answer = await client.put(f"{BASE}/register", content=b"")
        assert answer.status_code == 202
        assert answer.headers["retry-after"] == "3"
        assert answer.headers["location"] == f"{BASE}/operations/{OPERATION}?api-version=2019-03-31"
        assert answer.json() == {"operationId": OPERATION, "status": "assigning"}

    async def test_what_the_body_says(self, client, ceremony):
        body = b'{"payload": {"a": 1.50}, "clientCertificateCsr": "PEM"}'
        await client.put(f"{BASE}/register", content=body)
        assert ceremony.request.payload == b'{"a": 1.50}'
        assert ceremony.request.csr_fields == (("clientCertificateCsr", "PEM"),)

    async def test_node_asks_to_force(self, client):
        answer = await client.put(f"{BASE}/register", params=QUERY | {"forceRegistration": "true"})
        assert answer.status_code == 200

    async def test_an_encoded_id(self, client, ceremony):
        await client.put(f"/{SCOPE}/registrations/a%3Ab/register")
        assert ceremony.request.registration_id.text == "a:b"

    @pytest.mark.parametrize(
        "body",
        [b"[]", b"{", b'{"registrationId":"dev-2"}', b'{"tpm":{"endorsementKey":"AA=="}}', b" " * 98_305],
    )
    async def test_a_body_that_cannot_be_accepted(self, client, ceremony, body):
        refusal(await client.put(f"{BASE}/register", content=body), 400, 400004)
        assert ceremony.asked == []

    async def test_a_tpm_without_its_keys_is_told_which(self, client):
        answer = await client.put(f"{BASE}/register", json={"tpm": {}})
        assert "tpm.endorsementKey" in refusal(answer, 400, 400004)

    async def test_an_endless_body_is_given_up(self, client, ceremony):
        sent = []

        async def endless():
            while True:
                sent.append(1)
                yield b" " * 10_000

        refusal(await client.put(f"{BASE}/register", content=endless()), 400, 400004)
        assert len(sent) < 20
        assert ceremony.asked == []


class TestProof:
    """Authorization header, or TLS client certificate; the token wins."""

    async def test_token(self, client, ceremony, chain):
        chain.append(b"der")
        await client.put(f"{BASE}/register", headers={"Authorization": TOKEN})
        assert isinstance(ceremony.request.evidence, SasToken)
        assert ceremony.request.evidence.resource == f"{SCOPE}/registrations/dev-1"

    async def test_client_certificate(self, client, ceremony, chain):
        chain += [b"leaf", b"intermediate"]
        await client.put(f"{BASE}/register")
        assert ceremony.request.evidence == PresentedChain((b"leaf", b"intermediate"))

    async def test_nothing(self, client, ceremony):
        await client.put(f"{BASE}/register")
        assert ceremony.request.evidence == NothingShown()

    @pytest.mark.parametrize(
        "header",
        ["Bearer abc", "SharedAccessSignature", "SharedAccessSignature sr=x", TOKEN + "&x=" + "y" * 4096],
    )
    async def test_an_unreadable_token_is_not_passed_over(self, client, ceremony, chain, header):
        chain.append(b"der")
        refusal(await client.put(f"{BASE}/register", headers={"Authorization": header}), 401, 401002)
        assert ceremony.asked == []

    @pytest.mark.parametrize("scope", ["0ne00OTHER00", SCOPE.lower()])
    async def test_another_id_scope(self, client, ceremony, scope):
        answer = await client.put(f"/{scope}/registrations/dev-1/register", headers={"Authorization": TOKEN})
        assert refusal(answer, 401, 401002) == "Unauthorized"
        assert ceremony.asked == []

    async def test_an_id_that_is_none(self, client, ceremony):
        refusal(await client.put(f"/{SCOPE}/registrations/dev_1!/register"), 400, 400004)
        assert ceremony.asked == []


class TestStatus:
    async def test_node_sends_a_body_with_it(self, client, ceremony):
        answer = await client.request(
            "GET", f"{BASE}/operations/{OPERATION}", content=b"{}", headers={"authorization": TOKEN}
        )
        assert answer.status_code == 200
        assert answer.json()["status"] == "assigned"
        assert ceremony.asked[0][0] == f"status {OPERATION}"
        assert ceremony.request.csr_fields == ()

    async def test_its_body_means_nothing(self, client, ceremony):
        answer = await client.request(
            "GET", f"{BASE}/operations/x", content=b'not json {"registrationId":"dev-2"}'
        )
        assert answer.status_code == 200
        assert ceremony.request.payload is None

    async def test_still_assigning(self, client, ceremony):
        ceremony.answer = Assigning(OPERATION, DEVICE, 7)
        answer = await client.get(f"{BASE}/operations/{OPERATION}")
        assert (answer.status_code, answer.headers["retry-after"]) == (202, "7")

    async def test_unknown(self, client, ceremony):
        ceremony.answer = NotFound("There is no such operation.", rule="operation-unknown")
        refusal(await client.get(f"{BASE}/operations/nope"), 404, 404202)


class TestLookup:
    async def test_the_state_is_not_wrapped(self, client, ceremony):
        answer = await client.post(BASE, json={"registrationId": "dev-1"}, headers={"authorization": TOKEN})
        assert answer.status_code == 200
        assert answer.json()["deviceId"] == "dev-1"
        assert "operationId" not in answer.json()
        assert ceremony.asked[0][0] == "lookup"

    async def test_a_csr_is_told_to_the_ceremony(self, client, ceremony):
        await client.post(BASE, json={"csr": "MII"})
        assert ceremony.request.csr_fields == (("csr", "MII"),)


class TestAPIVersion:
    @pytest.mark.parametrize("query", [{}, {"api-version": ""}, {"api-version": "2000-01-01"}])
    async def test_missing_or_unknown(self, client, ceremony, query):
        client.params = query
        for call in (client.put(f"{BASE}/register"), client.get(f"{BASE}/operations/x"), client.post(BASE)):
            refusal(await call, 400, 400004)
        assert ceremony.asked == []

    async def test_where_the_source_fails_too_often_it_is_told_when_to_come_back(self, client, ceremony):
        ceremony.throttles = Throttled("Too many requests.", rule="source-throttled", retry_after_s=7)
        client.params = {}
        answer = await client.put(f"{BASE}/register")
        assert refusal(answer, 429, 429001) == "Too many requests."
        assert answer.headers["retry-after"] == "7"
        ((rule, claimed, tracking_id),) = ceremony.unreads
        assert (rule, claimed, tracking_id) == ("api-version", "dev-1", answer.headers["x-ms-request-id"])

    async def test_the_name_in_another_case(self, client):
        client.params = {"Api-Version": "2021-06-01"}
        assert (await client.put(f"{BASE}/register")).status_code == 200


class TestRefusals:
    async def test_unauthorized(self, client, ceremony):
        ceremony.answer = Unauthenticated(
            "Unauthorized", rule="sas-signature", evidence="secret", hint="hidden"
        )
        answer = await client.put(f"{BASE}/register")
        assert refusal(answer, 401, 401002) == "Unauthorized"
        assert "secret" not in answer.text
        assert "hidden" not in answer.text

    @pytest.mark.parametrize(
        ("kind", "http", "code"), [(Throttled, 429, 429001), (UpstreamUnavailable, 503, 503001)]
    )
    async def test_come_back_later(self, client, ceremony, kind, http, code):
        ceremony.answer = kind("Later.", rule="busy", retry_after_s=12)
        answer = await client.put(f"{BASE}/register")
        refusal(answer, http, code)
        assert answer.headers["retry-after"] == "12"

    async def test_a_defect_shows_nothing_of_itself(self, client, ceremony):
        ceremony.answer = ZeroDivisionError("private detail")
        answer = await client.put(f"{BASE}/register")
        assert refusal(answer, 500, 500001) == "Internal error"
        assert "private" not in answer.text
        assert int(answer.headers["retry-after"]) >= 10

    async def test_each_call_has_its_own_name(self, client):
        names = {
            json.loads((await client.put("/x/registrations/a/register")).text)["trackingId"] for _ in range(3)
        }
        assert len(names) == 3


async def test_a_client_that_leaves_is_no_defect(ceremony):
    app = Starlette(routes=device_api.routes(ceremony, HandClock(), CountedEntropy()))
    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"{BASE}/register",
        "query_string": b"api-version=2019-03-31",
        "headers": [],
    }
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    assert ceremony.asked == []
    assert sent[0]["status"] < 500
