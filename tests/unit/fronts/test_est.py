"""The calls of EST as HTTP clients see them: real routes, a stand-in for the ceremony behind them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette

from accredit.domain.credential import CertificateRecord, Certified, IssuedChain
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef, SymmetricKeys
from accredit.domain.errors import (
    Conflict,
    Disabled,
    Malformed,
    NotFound,
    Refused,
    Throttled,
    Unauthenticated,
    UpstreamUnavailable,
)
from accredit.domain.evidence import Attested, DeviceKeys, HeldCertificate, Password, PresentedChain
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.registration import Assigned, Assigning, Ended, Registration, Status
from accredit.domain.secret import Secret
from accredit.fronts import est as front
from accredit.values import replace
from accredit.wire import est
from support import pki, signing_requests
from support.counted_entropy import CountedEntropy

ROOT = pki.root("Root")
LEAF = ROOT.issue("dev-1")
CSR = signing_requests.pem(signing_requests.csr("dev-1"))
DEVICE = RegistrationId.parse("dev-1")
KEY = Secret(b"k" * 32)
BASE = "/.well-known/est/line"
PKCS10 = {"content-type": "application/pkcs10"}

_REGISTRATION = Registration(
    DEVICE, EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1"), DeviceId("dev-1"), "hub.example", Status.ASSIGNED, None,
    "4.a", "etag", 1, 1,
)  # fmt: skip
_RECORD = CertificateRecord(
    IssuedChain((LEAF.der, ROOT.der), 1, 1, 2, b"s", b"k"), AuthorityName.parse("builtin"), "v", "device/1", DEVICE,
    DeviceId("dev-1"), "g", b"c", "4.a", 1,
)  # fmt: skip
ASSIGNED = Assigned(
    _REGISTRATION,
    Attested(DEVICE, Enrollment(DEVICE, SymmetricKeys(KEY, KEY), "g", "e", 1, 1), DeviceKeys(KEY, KEY)),
    Certified(_RECORD, fresh=True),
    est.CSR_FIELD,
)
ENDED = Ended("4.a", DEVICE, Status.FAILED, 400037, "The CA turned the request down.", None, 1, 1, "e")


@dataclass
class Ceremony:
    answer: object = ASSIGNED
    chain: object = (ROOT.der,)
    asked: list = field(default_factory=list)
    labels: list = field(default_factory=list)
    unreads: list = field(default_factory=list)

    async def register(self, request):
        self.asked.append(request)
        return self._said(self.answer)

    async def of(self, label, *, source, tracking_id):
        self.labels.append((label, source))
        return self._said(self.chain)

    def unread(self, refusal, *, registration_id, source, tracking_id):
        self.unreads.append((refusal.rule, registration_id, source))
        return refusal

    def _said(self, answer):
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def request(self):
        (only,) = self.asked
        return only


@pytest.fixture
def ceremony():
    return Ceremony()


@pytest.fixture
def chain():
    """What the device shows in TLS; a test fills it."""
    return []


@pytest.fixture
async def client(ceremony, chain):
    app = Starlette(routes=front.routes(ceremony, ceremony, CountedEntropy()))

    async def over_tls(scope, receive, send):
        scope["extensions"] = {"tls": {"client_cert_chain_der": tuple(chain)}}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(over_tls, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="https://est.example") as made:
        yield made


async def enroll(client, path=f"{BASE}/simpleenroll", content=CSR, auth=("dev-1", "secret"), **more):
    return await client.post(path, content=content, auth=auth, **({"headers": PKCS10} | more))


def refused(answer, status):
    """Plain text with a tracking id, and how to prove oneself where that is wanted."""
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-ms-request-id"] in answer.text
    assert (answer.headers.get("www-authenticate", "").startswith("Basic realm=")) is (status == 401)
    return answer.text


class TestEnrolling:
    @pytest.mark.parametrize("path", [f"{BASE}/simpleenroll", "/line/.well-known/est/simpleenroll"])
    async def test_with_a_password(self, client, ceremony, path):
        answer = await enroll(client, path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
        assert est.certificates(answer.content) == (LEAF.der,)
        request = ceremony.request
        assert (request.registration_id, request.named, request.repeats) == (DEVICE, "line", True)
        assert request.evidence == Password(Secret(b"secret"))
        assert request.csr_fields == (("pkcs10", CSR),)
        assert (request.payload, request.source) == (None, "192.0.2.7")

    async def test_with_a_certificate_that_says_who_it_is(self, client, ceremony, chain):
        chain += [LEAF.der, ROOT.der]
        assert (await enroll(client, auth=None)).status_code == 200
        assert ceremony.request.registration_id == DEVICE
        assert ceremony.request.evidence == PresentedChain((LEAF.der, ROOT.der))

    async def test_a_password_counts_before_a_certificate(self, client, ceremony, chain):
        chain += [ROOT.issue("other").der]
        await enroll(client)
        assert ceremony.request.evidence == Password(Secret(b"secret"))

    async def test_a_slow_ca(self, client, ceremony):
        ceremony.answer = Assigning("4.a", DEVICE, 3)
        answer = await enroll(client)
        assert (answer.status_code, answer.headers["retry-after"]) == (202, "3")

    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            (ENDED, 502),
            (replace(ENDED, error_code=400208), 403),
            (replace(ENDED, error_code=409001, error_message=None), 409),
            (replace(ENDED, status=Status.DISABLED, error_code=None), 403),
            (Unauthenticated("Unauthorized", rule="password"), 401),
            (Refused("No.", rule="key-revoked"), 403),
            (Malformed("Bad.", rule="csr-signature"), 400),
            (Malformed("Large.", rule="csr-too-large"), 413),
            (Conflict("Other.", rule="operation-superseded"), 409),
            (Disabled("Off.", rule="enrollment-disabled"), 403),
        ],
    )
    async def test_the_ways_to_fail(self, client, ceremony, answer, status):
        ceremony.answer = answer
        refused(await enroll(client), status)

    @pytest.mark.parametrize("kind", [Throttled, UpstreamUnavailable])
    async def test_when_to_come_back(self, client, ceremony, kind):
        ceremony.answer = kind("Later.", rule="busy", retry_after_s=9)
        answer = await enroll(client)
        assert answer.headers["retry-after"] == "9"
        refused(answer, 429 if kind is Throttled else 503)

    async def test_a_defect_is_told_without_its_text(self, client, ceremony):
        ceremony.answer = ZeroDivisionError("secret detail")
        assert "secret detail" not in refused(await enroll(client), 500)


class TestRenewing:
    async def test_the_shown_certificate_is_the_proof(self, client, ceremony, chain):
        chain += [LEAF.der, ROOT.der]
        for path in (f"{BASE}/simplereenroll", "/line/.well-known/est/simplereenroll"):
            assert (await enroll(client, path)).status_code == 200
        for request in ceremony.asked:
            assert (request.registration_id, request.evidence) == (DEVICE, HeldCertificate(LEAF.der))
            assert (request.named, request.keeps_names) == ("line", True)

    async def test_a_password_is_none(self, client, ceremony):
        refused(await enroll(client, f"{BASE}/simplereenroll"), 401)
        assert ceremony.unreads[0][0] == "nothing-shown"


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
async def test_without_a_label_no_enrollment_is_named(client, ceremony, chain, operation):
    """strongSwan 5.9.8 asks so after a 202."""
    chain += [LEAF.der]
    assert (await enroll(client, f"/.well-known/est/{operation}")).status_code == 200
    assert ceremony.request.named is None


async def test_the_bindings_of_the_connection_go_along(ceremony):
    app = Starlette(routes=front.routes(ceremony, ceremony, CountedEntropy()))

    async def over_tls(scope, receive, send):
        scope["extensions"] = {
            "tls": {"client_cert_chain_der": (), "channel_bindings": lambda: (b"one", b"two")}
        }
        await app(scope, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(over_tls), base_url="https://est.example"
    ) as client:
        await enroll(client)
    assert ceremony.request.bindings == (base64.b64encode(b"one"), base64.b64encode(b"two"))


class TestBadInput:
    async def test_nothing_shown(self, client, ceremony):
        refused(await enroll(client, auth=None), 401)
        assert ceremony.unreads == [("nothing-shown", "line", "192.0.2.7")]

    @pytest.mark.parametrize(
        ("header", "rule"),
        [
            ("Bearer x", "basic-malformed"),
            ("Basic !!", "basic-malformed"),
            ("Basic " + base64.b64encode(b"not an id!:x").decode(), "basic-malformed"),
        ],
    )
    async def test_bad_credentials(self, client, ceremony, header, rule):
        refused(await enroll(client, auth=None, headers=PKCS10 | {"authorization": header}), 401)
        assert ceremony.unreads[0][0] == rule

    async def test_a_certificate_that_names_nobody(self, client, ceremony, chain):
        for der in (ROOT.issue(None).der, ROOT.issue("not an id!").der, b"\x30\x00"):
            chain[:] = [der]
            refused(await enroll(client, auth=None), 401)
        assert [rule for rule, *_ in ceremony.unreads] == [
            "cn-not-registration-id",
            "cn-not-registration-id",
            "chain-malformed",
        ]

    async def test_another_content_type(self, client, ceremony):
        refused(await enroll(client, headers={"content-type": "application/json"}), 400)
        assert ceremony.unreads[0][0] == "csr-media-type"
        assert ceremony.asked == []

    async def test_a_giant_body(self, client, ceremony):
        refused(await enroll(client, content=b"A" * 1_000_000), 413)
        assert ceremony.asked == []

    async def test_a_label_that_is_none(self, client, ceremony):
        refused(await enroll(client, "/.well-known/est/a%20b/simpleenroll"), 400)

    @pytest.mark.parametrize("operation", ["serverkeygen", "fullcmc", "nothing"])
    async def test_what_is_not_offered(self, client, operation):
        assert (await enroll(client, f"{BASE}/{operation}")).status_code == 404

    async def test_a_wrong_method(self, client):
        assert (await client.get(f"{BASE}/simpleenroll")).status_code == 405


class TestCacerts:
    @pytest.mark.parametrize("path", [f"{BASE}/cacerts", "/line/.well-known/est/cacerts"])
    async def test_the_chain(self, client, ceremony, path):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pkcs7-mime")
        assert est.certificates(answer.content) == (ROOT.der,)
        assert ceremony.labels == [("line", "192.0.2.7")]

    async def test_an_unknown_label(self, client, ceremony):
        ceremony.chain = NotFound("There is no such label.", rule="enrollment-unknown")
        refused(await client.get(f"{BASE}/cacerts"), 404)


async def test_csrattrs(client):
    answer = await client.get(f"{BASE}/csrattrs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/csrattrs")
    assert answer.content == est.attributes_body()
