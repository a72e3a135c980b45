"""CMP: against OpenSSL's own server, and against answers that it never gives."""

from __future__ import annotations

import pytest

from accredit.authorities.cmp import MAX_WAIT_S
from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.interfaces import Deferred, Delivered, Pending, Rejected, Unknown
from accredit.values import replace
from accredit.wire import cmp
from accredit.wire.der import SEQUENCE, element
from support import cmp_answers as answers
from support.cmp_answers import PASSWORD, ScriptedCmp, answering, bare, status
from support.cmp_server import CmpServer
from support.fake_http import Answer
from support.hand_clock import HandClock
from support.signing_requests import order
from support.small_issuer import Issuer
from support.vendor_authorities import cmp_record, connected, issued_by, record

NOW = 1_800_000_000
ISSUER = Issuer("Issuing", NOW)


def before(server, **settings):
    return connected(cmp_record(server, **settings), HandClock(NOW))


@pytest.fixture
async def openssl():
    async with CmpServer(now=HandClock(NOW).now) as running:
        yield running


class TestAtOpenSSL:
    async def test_ordered_and_confirmed(self, openssl):
        async with before(openssl, trustAnchors=openssl.root_pem) as ca:
            answer = await ca.order(order())
        assert isinstance(answer, Delivered)
        assert len(answer.issued.chain) == 3
        assert openssl.kinds == [cmp.P10CR, cmp.CERT_CONF]

    async def test_implicitly_confirmed(self, openssl):
        openssl.options = ("-grant_implicitconf",)
        async with before(openssl) as ca:
            assert isinstance(await ca.order(order()), Delivered)
        assert openssl.kinds == [cmp.P10CR]

    async def test_waited_for(self, openssl):
        openssl.options = ("-poll_count", "2", "-check_after", "7")
        wanted = order()
        async with before(openssl) as ca:
            first = await ca.order(wanted)
            assert isinstance(first, Pending)
            second = await ca.poll(wanted, first.handle)
            assert isinstance(second, Pending)
            assert second.retry_after_s == 7
            assert second.handle != first.handle
        # Another process goes on with the handle.
        async with before(openssl) as ca:
            answer = second
            for _ in range(3):
                if isinstance(answer, Pending):
                    answer = await ca.poll(wanted, answer.handle)
        assert isinstance(answer, Delivered)

    async def test_a_certificate_of_another_key_is_turned_down(self, openssl):
        openssl.faults.append("another-key")
        async with before(openssl) as ca:
            answer = await ca.order(order())
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-wrong-key"
        assert answer.stray is not None
        assert openssl.kinds == [cmp.P10CR, cmp.CERT_CONF]

    async def test_probed(self, openssl):
        async with before(openssl) as ca:
            await ca.probe()
        assert openssl.kinds == [cmp.GENM]

    async def test_a_wrong_secret(self, openssl):
        wrong = replace(cmp_record(openssl), secrets={"secret": Secret(b"another-secret")})
        async with connected(wrong, HandClock(NOW)) as ca:
            answer = await ca.order(order())
            with pytest.raises(UpstreamRejected) as refused:
                await ca.probe()
        assert isinstance(answer, Rejected)
        assert answer.rule == refused.value.rule == "ca-credentials"
        assert "secret" in answer.reason
        assert "another-secret" not in answer.reason + refused.value.message

    @pytest.mark.parametrize("reason", [RevocationReason.KEY_COMPROMISE, RevocationReason.AA_COMPROMISE])
    async def test_revoked(self, openssl, reason):
        async with before(openssl) as ca:
            answer = await ca.order(order())
            assert isinstance(answer, Delivered)
            await ca.revoke(answer.issued, reason)

    async def test_what_it_never_issued_is_not_revoked(self, openssl):
        async with before(openssl) as ca:
            await ca.order(order())
            with pytest.raises(UpstreamRejected):
                await ca.revoke(issued_by(ISSUER, NOW), RevocationReason.SUPERSEDED)

    @pytest.mark.parametrize("fault", ["drop-after", "huge", "hang-after"])
    async def test_a_lost_answer(self, openssl, fault):
        openssl.faults.append(fault)
        async with connected(cmp_record(openssl), HandClock(NOW)) as ca:
            assert isinstance(await ca.order(order()), Unknown)
        assert len(openssl.signed) == 1


def certificate() -> bytes:
    return issued_by(ISSUER, NOW).leaf


GOOD = answers.cp(status(0), certificate())
ORDERS = [
    ([answering(GOOD), answering(answers.PKICONF)], Delivered, ""),
    ([answering(GOOD, implicit=True)], Delivered, ""),
    ([answering(answers.cp(status(1), certificate()), implicit=True)], Delivered, ""),
    ([answering(GOOD), "drop-after"], Unknown, ""),
    ([answering(GOOD), answering(answers.error(status(2)))], Unknown, ""),
    ([answering(GOOD), bare(answers.PKICONF)], Unknown, ""),
    ([bare(GOOD)], Unknown, ""),
    ([answering(GOOD, password=cmp.Password(b"4787", Secret(b"x")))], Unknown, ""),
    ([answering(GOOD, transaction=b"another")], Unknown, ""),
    ([answering(GOOD, answered=b"another")], Unknown, ""),
    ([answering(answers.cp(status(0)))], Unknown, ""),
    ([answering(answers.cp(status(0), b"\x30\x00"))], Unknown, ""),
    ([answering(answers.cp(status(0), certificate(), capubs=(b"\x30\x00",)))], Unknown, ""),
    ([answering(answers.cp(status(3)))], Pending, ""),
    ([answering(answers.poll_rep(10))], Pending, ""),
    ([answering(answers.tagged(cmp.POLL_REP, b""))], Unknown, ""),
    ([answering(answers.PKICONF)], Unknown, ""),
    ([answering(answers.cp(status(2, "no", (9,))))], Rejected, "ca-refused"),
    ([answering(answers.cp(status(2, "no", (23,))))], Rejected, "ca-credentials"),
    ([answering(answers.error(status(2, "later", (24,))))], Deferred, ""),
    ([answering(answers.error(status(2, "oh", (25,))))], Unknown, ""),
    ([answering(answers.error(status(2, "again", (26,))))], Unknown, ""),
    ([answering(answers.error(b""))], Unknown, ""),
    ([bare(answers.error(status(2, "who are you")))], Rejected, "ca-refused"),
    ([bare(answers.error(status(2, "who are you", (1,))))], Rejected, "ca-credentials"),
    ([Answer(200, b"<html>", content_type="text/html")], Unknown, ""),
    ([Answer(404, b"<html>", content_type="text/html")], Rejected, "ca-refused"),
    ([Answer(503, b"")], Deferred, ""),
    ([Answer(500, b"")], Unknown, ""),
    (["drop-after"], Unknown, ""),
]  # fmt: skip


@pytest.mark.parametrize(("script", "outcome", "rule"), ORDERS, ids=range(len(ORDERS)))
async def test_what_an_answer_means(script, outcome, rule):
    async with ScriptedCmp(*script) as server, before(server) as ca:
        answer = await ca.order(order(since=NOW))
    assert isinstance(answer, outcome), answer
    assert getattr(answer, "rule", "") == rule


async def test_a_refusal_says_what_the_ca_said():
    told = answering(answers.error(status(2, "no\r\nsuch a-shared-secret profile", (15,))))
    async with ScriptedCmp(told) as server, before(server) as ca:
        answer = await ca.order(order())
    assert answer.reason == "The CMP server turned it down (no such ... profile; failure 15)."


async def test_the_transaction_is_one_from_order_to_confirmation():
    async with ScriptedCmp(
        answering(answers.poll_rep(9_999, 7)), answering(GOOD), answering(answers.PKICONF)
    ) as server:
        async with before(server) as ca:
            wanted = order()
            pending = await ca.order(wanted)
            assert pending.retry_after_s == MAX_WAIT_S
            assert isinstance(await ca.poll(wanted, pending.handle), Delivered)
        first, second, third = server.asked
    assert (first.kind, second.kind, third.kind) == (cmp.P10CR, cmp.POLL_REQ, cmp.CERT_CONF)
    assert first.body == wanted.request.der
    assert first.transaction == second.transaction == third.transaction
    assert first.answered == b""
    assert second.answered == third.answered == b"n" * 16
    assert len({first.nonce, second.nonce, third.nonce}) == 3
    assert all(message.proven(PASSWORD) for message in server.asked)
    assert cmp.poll_req(7).endswith(second.body)


@pytest.mark.parametrize("handle", ["", "zz..1", "aa.bb.x", "aaa.bb.1", "aa.b.1", "a.b.1" * 50])
async def test_a_handle_of_something_else(handle):
    async with ScriptedCmp("drop-after") as server, before(server) as ca:
        assert isinstance(await ca.poll(order(), handle), Unknown)
        assert server.calls == []


async def test_a_poll_that_is_not_sent():
    async with ScriptedCmp("drop-after") as server:
        made = cmp_record(server)
    async with connected(made, HandClock(NOW)) as ca:
        answer = await ca.poll(order(), "aa.bb.-1")
        assert isinstance(answer, Pending)
        assert answer.handle == "aa.bb.-1"
        assert isinstance(await ca.order(order()), Deferred)


GENP = answers.tagged(cmp.GENP, element(SEQUENCE))
PROBES = [
    (answering(GENP), None),
    (answering(answers.error(status(2, "no such thing", (2,)))), None),
    (answering(answers.error(status(2, "not you", (23,)))), UpstreamRejected),
    (bare(answers.error(status(2, "no"))), UpstreamRejected),
    (bare(answers.error(b"")), UpstreamRejected),
    (bare(GENP), UpstreamUnavailable),
    (Answer(200, b"<html>"), UpstreamUnavailable),
    (Answer(404, b"<html>"), UpstreamRejected),
    (Answer(500, b"<html>"), UpstreamUnavailable),
    ("drop-after", UpstreamUnavailable),
]


@pytest.mark.parametrize(("told", "wrong"), PROBES, ids=range(len(PROBES)))
async def test_what_a_probe_finds(told, wrong):
    async with ScriptedCmp(told) as server, before(server) as ca:
        if wrong is None:
            await ca.probe()
        else:
            with pytest.raises(wrong):
                await ca.probe()


REVOCATIONS = [
    (answering(answers.rp(status(0))), None),
    (answering(answers.rp(status(5))), None),
    (answering(answers.rp(status(2, "it is", (10,)))), None),
    (answering(answers.error(status(2, "it is", (10,)))), None),
    (bare(answers.error(status(2, "it is", (10,)))), UpstreamRejected),
    (bare(answers.rp(status(0))), UpstreamUnavailable),
    (answering(answers.rp(status(3))), UpstreamRejected),
    (answering(answers.rp(status(2, "no", (4,)))), UpstreamRejected),
    (answering(answers.tagged(cmp.RP, element(SEQUENCE))), UpstreamUnavailable),
    (answering(answers.error(status(0))), UpstreamRejected),
]


@pytest.mark.parametrize(("told", "wrong"), REVOCATIONS, ids=range(len(REVOCATIONS)))
async def test_what_an_answer_to_a_revocation_means(told, wrong):
    async with ScriptedCmp(told) as server, before(server) as ca:
        if wrong is None:
            await ca.revoke(issued_by(ISSUER, NOW), RevocationReason.KEY_COMPROMISE)
        else:
            with pytest.raises(wrong):
                await ca.revoke(issued_by(ISSUER, NOW), RevocationReason.KEY_COMPROMISE)


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        ({"reference": "1"}, {"secret": "s"}),
        ({"url": "https://ca.example/cmp"}, {"secret": "s"}),
        ({"url": "https://ca.example/cmp", "reference": "1"}, {}),
        ({"url": "https://ca.example/cmp", "reference": "1", "recipient": "no name"}, {"secret": "s"}),
    ],
)
async def test_settings_that_can_not_be_used(settings, secrets):
    with pytest.raises(Malformed):
        async with connected(record("Cmp", settings, secrets), HandClock(NOW)):
            pass
