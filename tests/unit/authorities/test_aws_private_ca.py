"""AWS Private CA: against moto, which signs and judges signatures; and against answers that moto never gives."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.egress import Egress, EgressRules
from accredit.interfaces import Deferred, Delivered, Pending, Rejected, Unknown
from support import moto_server
from support.fake_http import Answer, Scripted, document
from support.hand_clock import HandClock
from support.signing_requests import key, order
from support.small_issuer import Issuer, pem
from support.vendor_authorities import aws_record, connected, issued_by, moto_clock, record

NOW = 1_800_000_000
ARN = "arn:aws:acm-pca:eu-central-1:123456789012:certificate-authority/11111111-2222-3333-4444-555555555555"
MADE = ARN + "/certificate/0123456789abcdef"
DESCRIBED = document(
    200,
    {
        "CertificateAuthority": {
            "Status": "ACTIVE",
            "CertificateAuthorityConfiguration": {"SigningAlgorithm": "SHA256WITHECDSA"},
        }
    },
)
ORDERED = document(200, {"CertificateArn": MADE})
SETTINGS = {"arn": ARN, "accessKeyId": "AKIDEXAMPLE"}
SECRETS = {"secretAccessKey": "wJalrXUtnFEMI"}


def error(kind: str, status: int = 400, message: str = "so it is") -> Answer:
    return document(status, {"__type": f"com.amazonaws.acmpca#{kind}", "message": message})


def scripted(server: Scripted, **settings):
    members = {**SETTINGS, "endpointUrl": server.url, **settings}
    return connected(record("AwsPrivateCa", members, SECRETS), HandClock(NOW))


def sent(server: Scripted) -> list[tuple[str, dict]]:
    return [
        (call.headers["x-amz-target"].removeprefix("ACMPrivateCA."), json.loads(call.body))
        for call in server.calls
    ]


@pytest.fixture
async def moto():
    return await asyncio.to_thread(moto_server.private_ca)


class TestAtMoto:
    async def test_probed(self, moto):
        async with connected(aws_record(moto), moto_clock()) as aws:
            standing = await aws.probe()
        (root,) = (x509.load_der_x509_certificate(der) for der in standing.chain)
        assert root == x509.load_pem_x509_certificate(moto.root_pem.encode())

    async def test_within_anchors_and_in_a_named_region(self, moto):
        settings = {"trustAnchors": moto.root_pem, "region": moto_server.REGION}
        async with connected(aws_record(moto, **settings), moto_clock()) as aws:
            assert isinstance(await aws.order(order()), Delivered)

    @pytest.mark.parametrize("reason", RevocationReason)
    async def test_revoked(self, moto, reason):
        async with connected(aws_record(moto), moto_clock()) as aws:
            answer = await aws.order(order())
            assert isinstance(answer, Delivered)
            await aws.revoke(answer.issued, reason)
        serial = answer.issued.serial.to_bytes(20, "big").lstrip(b"\0").hex(":")
        noted = await asyncio.to_thread(moto.revoked)
        assert noted[serial]["revocation_reason"].replace("_", "").lower().endswith(reason.value.lower()[2:])

    async def test_a_wrong_secret(self, moto):
        right = aws_record(moto)
        wrong = record("AwsPrivateCa", right.settings, {"secretAccessKey": "no-such-secret"})
        async with connected(wrong, moto_clock()) as aws:
            answer = await aws.order(order())
            with pytest.raises(UpstreamRejected) as refused:
                await aws.probe()
        assert isinstance(answer, Rejected)
        assert answer.rule == refused.value.rule == "ca-credentials"
        assert "secretAccessKey" in answer.reason
        assert "no-such-secret" not in answer.reason + refused.value.message

    async def test_a_right_that_is_missing(self, moto):
        await asyncio.to_thread(moto.deny, "acm-pca:RevokeCertificate")
        async with connected(aws_record(moto), moto_clock()) as aws:
            answer = await aws.order(order())
            assert isinstance(answer, Delivered)
            with pytest.raises(UpstreamRejected, match="answered 403") as refused:
                await aws.revoke(answer.issued, RevocationReason.SUPERSEDED)
        assert refused.value.rule == "ca-credentials"

    async def test_a_ca_that_is_not_there(self, moto):
        async with connected(aws_record(moto, arn=ARN), moto_clock()) as aws:
            with pytest.raises(UpstreamRejected, match="not found"):
                await aws.probe()


class TestWhatIsSent:
    async def test_an_order(self):
        wanted = order()
        async with Scripted(DESCRIBED, ORDERED, error("RequestInProgressException")) as server:
            async with scripted(server, maxValidityDays=7) as aws:
                assert isinstance(await aws.order(wanted), Pending)
            (first, described), (second, body), (third, got) = sent(server)
        assert (first, second, third) == (
            "DescribeCertificateAuthority",
            "IssueCertificate",
            "GetCertificate",
        )
        assert described == {"CertificateAuthorityArn": ARN}
        assert got == {"CertificateAuthorityArn": ARN, "CertificateArn": MADE}
        csr = base64.b64decode(body.pop("Csr"))
        assert csr == wanted.request.csr.public_bytes(Encoding.PEM)
        assert len(body.pop("IdempotencyToken")) == 32
        assert body == {
            "CertificateAuthorityArn": ARN,
            "SigningAlgorithm": "SHA256WITHECDSA",
            "Validity": {"Type": "DAYS", "Value": 7},
        }
        call = server.calls[1]
        assert call.headers["authorization"].startswith(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270115/eu-central-1/acm-pca/"
        )
        assert "wJalrXUtnFEMI" not in str(call.headers)

    async def test_with_a_template_that_takes_the_name_from_the_call(self):
        template = "arn:aws:acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1"
        async with Scripted(DESCRIBED, error("RequestInProgressException")) as server:
            async with scripted(server, templateArn=template) as aws:
                await aws.order(order())
            body = sent(server)[1][1]
        assert body["TemplateArn"] == template
        assert body["ApiPassthrough"] == {"Subject": {"CommonName": "device-1"}}
        assert body["Validity"] == {"Type": "DAYS", "Value": 30}

    async def test_the_algorithm_is_asked_for_once_and_a_repeated_order_has_the_same_token(self):
        async with Scripted(DESCRIBED, error("InternalFailure", 500)) as server:
            async with scripted(server) as aws:
                await aws.order(order())
                await aws.order(order())
            names = [name for name, _ in sent(server)]
            tokens = {body["IdempotencyToken"] for _, body in sent(server)[1:]}
        assert names == ["DescribeCertificateAuthority", "IssueCertificate", "IssueCertificate"]
        assert len(tokens) == 1


ORDERS = [
    ([DESCRIBED, error("ThrottlingException")], Deferred, ""),
    ([DESCRIBED, error("ServiceUnavailableException", 503)], Deferred, ""),
    ([error("ThrottlingException")], Deferred, ""),
    ([error("AccessDeniedException")], Rejected, "ca-credentials"),
    ([DESCRIBED, error("LimitExceededException")], Rejected, "ca-refused"),
    ([DESCRIBED, error("MalformedCSRException")], Rejected, "ca-refused"),
    ([DESCRIBED, error("UnrecognizedClientException")], Rejected, "ca-credentials"),
    ([DESCRIBED, error("InternalFailure", 500)], Unknown, ""),
    ([DESCRIBED, "drop-after"], Unknown, ""),
    ([DESCRIBED, "hang-after"], Unknown, ""),
    ([DESCRIBED, "huge"], Unknown, ""),
    ([DESCRIBED, Answer(200, b"<html>", content_type="text/html")], Unknown, ""),
    ([DESCRIBED, Answer(200, b'{"CertificateArn":7}')], Unknown, ""),
    ([DESCRIBED, Answer(200, b'{"CertificateArn":"' + b"x" * 300 + b'"}')], Unknown, ""),
    ([DESCRIBED, Answer(200, b"")], Unknown, ""),
    ([DESCRIBED, Answer(302, b"", {"Location": "https://elsewhere.example/"})], Rejected, "ca-refused"),
    ([DESCRIBED, ORDERED, error("RequestInProgressException")], Pending, ""),
    ([DESCRIBED, ORDERED, "drop-after"], Pending, ""),
    ([DESCRIBED, ORDERED, error("ThrottlingException")], Pending, ""),
    ([DESCRIBED, ORDERED, error("RequestFailedException")], Rejected, "ca-refused"),
    ([DESCRIBED, ORDERED, error("ResourceNotFoundException")], Unknown, ""),
    ([DESCRIBED, ORDERED, Answer(200, b"not JSON")], Unknown, ""),
    ([DESCRIBED, ORDERED, document(200, {"Certificate": "-----BEGIN CERT"})], Unknown, ""),
]


@pytest.mark.parametrize(("script", "outcome", "rule"), ORDERS)
async def test_what_an_answer_means(script, outcome, rule):
    async with Scripted(*script) as server, scripted(server) as aws:
        answer = await aws.order(order())
    assert isinstance(answer, outcome), answer
    assert getattr(answer, "rule", "") == rule


async def test_pending_until_it_is_made():
    issuer = Issuer("AWS", NOW)
    now = datetime.fromtimestamp(NOW, UTC)
    leaf = issuer.leaf("device-1", key().public_key(), now - timedelta(hours=1), now + timedelta(days=30))
    made = document(
        200, {"Certificate": pem(leaf), "CertificateChain": pem(issuer.intermediate) + pem(issuer.root)}
    )
    async with (
        Scripted(DESCRIBED, ORDERED, error("RequestInProgressException"), made) as server,
        scripted(server) as aws,
    ):
        pending = await aws.order(order())
        assert isinstance(pending, Pending)
        assert pending.handle == MADE
        answer = await aws.poll(order(), pending.handle)
    assert isinstance(answer, Delivered)
    assert len(answer.issued.chain) == 3
    assert answer.issued.ca_reference == MADE


async def test_a_poll_that_our_own_rules_forbid():
    settings = {**SETTINGS, "endpointUrl": "http://127.0.0.2:1"}
    made = record("AwsPrivateCa", settings, SECRETS)
    async with connected(made, HandClock(NOW), egress=Egress(EgressRules())) as aws:
        assert isinstance(await aws.poll(order(), MADE), Unknown)
        answer = await aws.order(order())
    assert isinstance(answer, Rejected)
    assert answer.rule == "ca-egress-refused"


class TestRevoking:
    @pytest.mark.parametrize(
        ("answer", "wrong"),
        [
            (Answer(200, b""), None),
            (error("RequestAlreadyProcessedException"), None),
            (error("ResourceNotFoundException"), UpstreamRejected),
            (Answer(200, b"<html>"), UpstreamRejected),
            (error("ThrottlingException"), UpstreamUnavailable),
            (error("InternalFailure", 500), UpstreamUnavailable),
        ],
    )
    async def test_what_an_answer_means(self, answer, wrong):
        issuer = Issuer("AWS", NOW)
        async with Scripted(answer) as server, scripted(server) as aws:
            certificate = issued_by(issuer, NOW)
            if wrong is None:
                await aws.revoke(certificate, RevocationReason.KEY_COMPROMISE)
            else:
                with pytest.raises(wrong):
                    await aws.revoke(certificate, RevocationReason.KEY_COMPROMISE)
            ((name, body),) = sent(server)
        assert name == "RevokeCertificate"
        assert int(body["CertificateSerial"].replace(":", ""), 16) == certificate.serial
        assert body["RevocationReason"] == "KEY_COMPROMISE"


@pytest.mark.parametrize("status", ["DISABLED", "EXPIRED", ""])
async def test_a_ca_that_is_not_active_is_not_stored(status):
    described = document(200, {"CertificateAuthority": {"Status": status}})
    async with Scripted(described) as server, scripted(server) as aws:
        with pytest.raises(UpstreamRejected, match="not ACTIVE"):
            await aws.probe()


async def test_a_chain_that_may_not_be_read():
    async with Scripted(DESCRIBED, error("AccessDeniedException")) as server, scripted(server) as aws:
        with pytest.raises(UpstreamRejected, match="AccessDenied"):
            await aws.probe()


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        ({"accessKeyId": "a"}, SECRETS),
        ({**SETTINGS, "arn": "arn:aws:s3:::bucket"}, SECRETS),
        ({**SETTINGS, "region": "us-east-1"}, SECRETS),
        ({"arn": ARN}, SECRETS),
        (SETTINGS, {}),
    ],
)
async def test_settings_that_can_not_be_used(settings, secrets):
    with pytest.raises(Malformed):
        async with connected(record("AwsPrivateCa", settings, secrets), HandClock(NOW)):
            pass


@pytest.mark.parametrize(
    ("partition", "host"),
    [("aws", "amazonaws.com"), ("aws-us-gov", "amazonaws.com"), ("aws-cn", "amazonaws.com.cn")],
)
async def test_where_it_goes_without_an_address(partition, host):
    asked = []

    async def resolve(name, port):
        asked.append((name, port))
        raise OSError

    arn = ARN.replace("arn:aws:", f"arn:{partition}:")
    made = record("AwsPrivateCa", {**SETTINGS, "arn": arn}, SECRETS)
    async with connected(made, HandClock(NOW), egress=Egress(EgressRules(), resolve=resolve)) as aws:
        with pytest.raises(UpstreamUnavailable):
            await aws.probe()
    assert asked == [(f"acm-pca.eu-central-1.{host}", 443)]
