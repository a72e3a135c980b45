"""The EST connector against scripted answers, as RFC 7030 allows them and as it does not."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager

import pytest

from accredit.authorities.est import CHAIN_KEPT_S, MIN_PENDING_S, PENDING_RETRY_S, Est
from accredit.authorities.upstream import Surroundings
from accredit.domain.authority import AuthorityRecord
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules
from accredit.interfaces import Deferred, Delivered, Pending, Rejected, Revokes, Unknown
from accredit.policy.retry import MAX_RETRY_AFTER_S
from accredit.wire import est
from support import pki
from support.fake_http import Answer, Scripted
from support.hand_clock import HandClock
from support.passing_time import PATIENCE_S
from support.signing_requests import key, order

ROOT = pki.root("Root")
ISSUING = ROOT.issue("Issuing", ca=True)
OTHER_ROOT = pki.root("Another Root")
LEAF = ISSUING.issue("device-1", key=key())
ORDER = order()


def certificates(*entities, content_type=est.CERTS_ONLY, **headers):
    return Answer(200, est.certificates_body([one.der for one in entities]), headers, content_type)


CACERTS = certificates(ISSUING, ROOT, content_type=est.PKCS7)
ISSUED = certificates(LEAF)


def record(url, *, settings=None, secrets=None):
    return AuthorityRecord(
        name=AuthorityName.parse("est"),
        type="Est",
        settings={"url": url, "label": "line", "username": "ra", **(settings or {})},
        secrets={"password": Secret(b"pass-word")} if secrets is None else secrets,
        version="v1",
        etag="e1",
        created_at=1,
        updated_at=1,
    )


@asynccontextmanager
async def connected(*script, **members):
    clock = HandClock()
    async with Scripted(*script) as server:
        egress = Egress(EgressRules(("127.0.0.0/8", "::1")))
        try:
            made = record(server.url, **members)
            yield Est(made, Surroundings(egress, clock, deadline_s=PATIENCE_S)), server, clock
        finally:
            await egress.close()


async def answered(*script, **members):
    """What the connector makes of these answers to an order, cacerts first."""
    async with connected(*script, **members) as (ca, _, _):
        return await ca.order(ORDER)


class TestCalls:
    async def test_what_is_sent(self):
        async with connected(CACERTS, ISSUED) as (ca, server, _):
            assert isinstance(await ca.order(ORDER), Delivered)
        cacerts, enroll = server.calls
        assert (cacerts.method, cacerts.path) == ("GET", "/.well-known/est/line/cacerts")
        assert (enroll.method, enroll.path) == ("POST", "/.well-known/est/line/simpleenroll")
        assert enroll.headers["content-type"] == "application/pkcs10"
        assert base64.b64decode(enroll.body) == ORDER.request.der
        assert enroll.headers["authorization"] == "Basic " + base64.b64encode(b"ra:pass-word").decode()

    @pytest.mark.parametrize("label", ["", "/line/"])
    @pytest.mark.parametrize("tail", ["", "/", "/.well-known/est", "/.well-known/est/"])
    async def test_addresses(self, label, tail):
        async with Scripted(CACERTS) as server:
            egress = Egress(EgressRules(("127.0.0.0/8", "::1")))
            made = record(server.url + tail, settings={"label": label})
            await Est(made, Surroundings(egress, HandClock())).probe()
            await egress.close()
        prefix = "/.well-known/est/line" if label else "/.well-known/est"
        assert server.calls[0].path == f"{prefix}/cacerts"

    async def test_the_chain_is_asked_for_once_a_day(self):
        async with connected(CACERTS, ISSUED, ISSUED, CACERTS, ISSUED) as (ca, server, clock):
            for _ in range(2):
                await ca.order(ORDER)
            clock.advance(CHAIN_KEPT_S)
            await ca.order(ORDER)
        assert [call.path.rpartition("/")[2] for call in server.calls] == [
            "cacerts", "simpleenroll", "simpleenroll", "cacerts", "simpleenroll",
        ]  # fmt: skip

    async def test_a_probe_tells_the_chain(self):
        async with connected(CACERTS) as (ca, _, _):
            assert set((await ca.probe()).chain) == {ISSUING.der, ROOT.der}
            assert not isinstance(ca, Revokes)


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "secrets"),
        [
            ({"username": ""}, {}),
            ({}, {}),
            ({"username": ""}, {"password": Secret(b"x")}),
            ({"username": "", "clientCertificate": "pem"}, {}),
            ({"clientCertificate": "pem"}, {"clientKey": Secret(b"pem")}),
        ],
    )
    def test_credentials_are_whole(self, settings, secrets):
        with pytest.raises(Malformed) as refused:
            Est(record("https://x", settings=settings, secrets=secrets), Surroundings(None, HandClock()))
        assert refused.value.rule == "ca-settings"

    async def test_a_client_certificate_needs_no_password(self):
        members = {
            "settings": {"username": "", "clientCertificate": "pem"},
            "secrets": {"clientKey": Secret(b"k")},
        }
        async with connected(CACERTS, ISSUED, **members) as (ca, server, _):
            assert isinstance(await ca.order(ORDER), Delivered)
        assert "authorization" not in server.calls[1].headers


class TestPending:
    @pytest.mark.parametrize(
        ("header", "wait_s"),
        [
            ({}, PENDING_RETRY_S),
            ({"Retry-After": "60"}, 60),
            ({"Retry-After": "0"}, MIN_PENDING_S),
            ({"Retry-After": "999999"}, MAX_RETRY_AFTER_S),
            ({"Retry-After": "soon"}, PENDING_RETRY_S),
            ({"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}, MIN_PENDING_S),
        ],
    )
    async def test_when_to_come_back(self, header, wait_s):
        answer = await answered(CACERTS, Answer(202, b"", header))
        assert answer == Pending(ORDER.request.csr_sha256.hex(), wait_s)

    async def test_the_same_request_again(self):
        async with connected(CACERTS, Answer(202, b""), Answer(202, b""), ISSUED) as (ca, server, _):
            first = await ca.order(ORDER)
            assert await ca.poll(ORDER, first.handle) == first
            assert isinstance(await ca.poll(ORDER, first.handle), Delivered)
        bodies = {call.body for call in server.calls[1:]}
        assert bodies == {est.request_body(ORDER.request.der)}

    async def test_a_server_that_is_away_still_has_the_order(self):
        async with connected(CACERTS, Answer(202, b""), Answer(503, b"", {"Retry-After": "17"})) as (
            ca,
            _,
            _,
        ):
            first = await ca.order(ORDER)
            assert await ca.poll(ORDER, first.handle) == Pending(first.handle, 17)

    async def test_a_lost_answer_may_have_been_the_certificate(self):
        async with connected(CACERTS, Answer(202, b""), "drop-after") as (ca, _, _):
            first = await ca.order(ORDER)
            assert isinstance(await ca.poll(ORDER, first.handle), Unknown)


class TestHostileAnswers:
    @pytest.mark.parametrize(
        "answer",
        [
            "drop-after", "drop-mid-answer", "not-http", "huge",
            Answer(200, b"<html>Please log in</html>", {}, "text/html"),
            Answer(200, b"", {}, est.CERTS_ONLY),
            Answer(200, ISSUED.body[: len(ISSUED.body) // 2], {}, est.CERTS_ONLY),
            Answer(200, LEAF.pem.encode(), {}, est.CERTS_ONLY),
            Answer(500, b""),
            Answer(204, b""),
        ],
        ids=["drop-after", "drop-mid-answer", "not-http", "huge", "html", "empty", "half", "pem", "500", "204"],
    )  # fmt: skip
    async def test_what_may_have_been_signed_and_is_not_known(self, answer):
        assert isinstance(await answered(CACERTS, answer), Unknown)

    @pytest.mark.parametrize(
        ("leaves", "rule"),
        [
            ([ISSUING.issue("device-1")], "ca-wrong-key"),
            ([ISSUING.issue("device-2", key=key())], "ca-wrong-name"),
            ([LEAF, ISSUING.issue("device-1", key=key())], "ca-broken-chain"),
            ([ISSUING.issue("device-1", key=key(), ca=True)], "ca-issued-a-ca"),
            ([ISSUING.issue("device-1", key=key(), not_after=pki.NOW - 9)], "ca-wrong-life"),
        ],
    )
    async def test_what_was_not_ordered_is_a_stray(self, leaves, rule):
        answer = await answered(CACERTS, certificates(*leaves), CACERTS)
        assert isinstance(answer, Rejected)
        assert answer.rule == rule
        assert answer.stray is not None

    async def test_another_root(self):
        answer = await answered(CACERTS, ISSUED, CACERTS, settings={"trustAnchors": OTHER_ROOT.pem})
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-untrusted-chain"

    async def test_the_server_changed_its_ca_meanwhile(self):
        newer = OTHER_ROOT.issue("Newer", ca=True)
        leaf = newer.issue("device-1", key=key())
        told = certificates(newer, OTHER_ROOT)
        anchors = {"trustAnchors": ROOT.pem + OTHER_ROOT.pem}
        answer = await answered(CACERTS, certificates(leaf), told, settings=anchors)
        assert isinstance(answer, Delivered)
        assert answer.issued.chain == (leaf.der, newer.der, OTHER_ROOT.der)
        still = await answered(CACERTS, certificates(leaf), Answer(503, b""), settings=anchors)
        assert isinstance(still, Rejected)

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (Answer(404, b""), Rejected),
            (Answer(200, b"<html>"), Rejected),
            (Answer(503, b""), Deferred),
            ("drop-after", Deferred),
        ],
    )
    async def test_without_a_chain_nothing_is_ordered(self, answer, kind):
        async with connected(answer) as (ca, server, _):
            assert isinstance(await ca.order(ORDER), kind)
            with pytest.raises((UpstreamRejected, UpstreamUnavailable)):
                await ca.probe()
        assert [call.method for call in server.calls] == ["GET", "GET"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, Rejected), (401, Rejected), (403, Rejected), (302, Rejected), (429, Deferred)],
    )
    async def test_statuses(self, status, kind):
        assert isinstance(await answered(CACERTS, Answer(status, b"")), kind)

    async def test_its_words_are_told_and_our_password_is_not(self):
        shown = b"No: ra:pass-word and " + base64.b64encode(b"ra:pass-word") + b" are wrong.\n"
        answer = await answered(CACERTS, Answer(401, shown, {}, "text/plain"))
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-credentials"
        assert "are wrong" in answer.reason
        assert "pass-word" not in answer.reason
        assert base64.b64encode(b"ra:pass-word").decode() not in answer.reason

    async def test_html_is_not_quoted(self):
        answer = await answered(CACERTS, Answer(400, b"<h1>Bad</h1>", {}, "text/html"))
        assert "<h1>" not in answer.reason
