"""DigiCert ONE: each thing that can happen to an order, against a server that signs, and the exact answer to it."""

import asyncio
import json
import logging
import sys
import time
import traceback
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities.digicert.one import MAX_PAGES, DigiCertOne
from accredit.authorities.upstream import Surroundings
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules
from accredit.interfaces import Deferred, Delivered, Pending, Rejected, Unknown
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.values import replace
from support import digicert_faults as faults
from support import digicert_one as fake
from support import signing_requests
from support.hand_clock import HandClock
from support.passing_time import PATIENCE_S, passes
from support.waiting import until

NOW = 1_800_000_000
DEFAULT_WAITS = range(1, int(AUTHORITY_RETRY.base_s) + 1)


def record(settings=None, secrets=None) -> AuthorityRecord:
    return AuthorityRecord(
        name=AuthorityName.parse("digicert"),
        type="DigiCertCertificateAuthority",
        settings={"profileName": fake.PROFILE} if settings is None else settings,
        secrets={"apiKey": Secret(fake.API_KEY.encode())} if secrets is None else secrets,
        version="v1",
        etag="e1",
        created_at=NOW,
        updated_at=NOW,
    )


@asynccontextmanager
async def connected(server, clock, *, settings=None, key=None, url=None, rules=None):
    url = url or server.url
    egress = Egress(rules or EgressRules((), url))
    secrets = None if key is None else {"apiKey": Secret(key)}
    try:
        yield DigiCertOne(record(settings, secrets), Surroundings(egress, clock, url, deadline_s=PATIENCE_S))
    finally:
        await egress.close()


@pytest.fixture
def clock():
    return HandClock(NOW)


@pytest.fixture
async def server(clock):
    async with fake.DigiCertOneServer(now=clock.now) as running:
        yield running


@pytest.fixture
async def digicert(server, clock):
    async with connected(server, clock) as authority:
        yield authority


def an_order(registration_id="device-1", which=0, **changes):
    key = signing_requests.key("P-256", which)
    return replace(signing_requests.order(registration_id, private=key), **changes)


def sha256s(server) -> list[str]:
    return [line["sha256"] for line in server.signed]


class TestDelivered:
    async def test_the_chain_leaf_first_with_the_cas_reference(self, server, digicert):
        order = an_order()
        answer = await digicert.order(order)
        assert isinstance(answer, Delivered)
        issued = answer.issued
        assert sha256s(server) == [issued.sha256.hex()]
        assert issued.spki_sha256 == order.request.spki_sha256
        assert issued.ca_reference == server.signed[0]["certificateId"]
        assert f"{issued.serial:X}" == server.signed[0]["serial"]
        above = (server.issuer.intermediate, server.issuer.root)
        assert issued.chain[1:] == tuple(certificate.public_bytes(Encoding.DER) for certificate in above)

    async def test_what_was_sent(self, server, digicert):
        order = an_order()
        await digicert.order(order)
        (call,) = server.calls
        assert (call.method, call.path, call.query) == ("POST", "/iot/api/v1/certificate", {})
        assert call.headers["x-api-key"] == fake.API_KEY
        assert call.headers["content-type"] == "application/json"
        document = json.loads(call.body)
        assert x509.load_pem_x509_csr(document.pop("csr").encode()) == order.request.csr
        assert document == {
            "enrollment_profile_id": fake.PROFILE,
            "certificate_profile_attributes": [{"id": "subject.common_name", "value": "device-1"}],
            "device_attributes": [{"id": "DEVICE_IDENTIFIER", "value": "device-1"}],
        }

    @pytest.mark.parametrize("fault", sorted(faults.HARMLESS_FAULTS - {"pending"}))
    async def test_though_told_unusually(self, server, digicert, fault):
        server.faults.append(fault)
        answer = await digicert.order(an_order())
        assert isinstance(answer, Delivered)
        assert sha256s(server) == [answer.issued.sha256.hex()]
        assert len(answer.issued.chain) == (2 if fault == "root-missing" else 3)

    async def test_within_the_authoritys_settings(self, server, clock):
        settings = {"profileName": fake.PROFILE, "trustAnchors": server.root_pem, "maxValidityDays": 31}
        async with connected(server, clock, settings=settings) as digicert:
            assert isinstance(await digicert.order(an_order()), Delivered)

    def test_is_an_outside_authority(self, digicert):
        assert (str(digicert.name), digicert.version, digicert.in_process) == ("digicert", "v1", False)


class TestRejectedWithAStray:
    """Something was signed that was not ordered: it is refused, and goes on record."""

    RULES = {
        "another-key": "ca-wrong-key",
        "another-name": "ca-wrong-name",
        "expired": "ca-wrong-life",
        "not-yet": "ca-wrong-life",
        "ca-true": "ca-issued-a-ca",
        "broken-chain": "ca-broken-chain",
    }

    @pytest.mark.parametrize(("fault", "rule"), RULES.items())
    async def test_by_rule(self, server, digicert, fault, rule):
        server.faults.append(fault)
        answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert answer.rule == rule
        assert answer.stray is not None
        assert sha256s(server) == [answer.stray.sha256.hex()]
        assert answer.stray.ca_reference == server.signed[0]["certificateId"]

    async def test_a_life_beyond_the_setting(self, server, clock):
        server.faults.append("too-long")
        async with connected(
            server, clock, settings={"profileName": fake.PROFILE, "maxValidityDays": 31}
        ) as digicert:
            answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert (answer.rule, answer.stray and answer.stray.sha256.hex()) == (
            "ca-wrong-life",
            sha256s(server)[0],
        )

    async def test_another_root_than_the_configured_one(self, server, clock):
        server.faults.append("stranger")
        settings = {"profileName": fake.PROFILE, "trustAnchors": server.root_pem}
        async with connected(server, clock, settings=settings) as digicert:
            answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert answer.stray is not None
        assert sha256s(server) == [answer.stray.sha256.hex()]

    async def test_every_such_fault_is_tested(self):
        assert set(self.RULES) | {"too-long", "stranger"} == faults.WRONG_FAULTS


class TestRejected:
    """The CA said no, and nothing was signed."""

    @pytest.mark.parametrize(
        ("fault", "rule", "words"),
        [
            (
                "refuse-400",
                "ca-refused",
                "400 (invalid_request: The enrollment profile does not accept this key type.)",
            ),
            ("refuse-401", "ca-credentials", "apiKey"),
            ("refuse-403", "ca-credentials", "apiKey"),
            ("refuse-404", "ca-refused", "404 (resource_not_found"),
            ("refuse-409", "ca-refused", "409 (conflict"),
            ("refuse-singular", "ca-refused", "400 (invalid_input: The CSR is too new.)"),
            ("redirect", "ca-refused", "Redirects are not followed"),
            ("turned-down", "ca-refused", "turned the request down"),
        ],
    )
    async def test_by_fault(self, server, digicert, fault, rule, words):
        server.faults.append(fault)
        answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert (answer.rule, answer.stray) == (rule, None)
        assert words in answer.reason
        assert len(server.calls) == 1
        assert server.signed == []

    async def test_the_cas_message_is_one_bounded_line_without_the_key(self, server, digicert):
        server.faults.append("refuse-echo")
        answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert "headers were" in answer.reason
        assert len(answer.reason) < 300
        assert answer.reason.isprintable()
        assert fake.API_KEY not in answer.reason

    async def test_a_wrong_key(self, server, clock):
        async with connected(server, clock, key=b"another-key") as digicert:
            answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-credentials"

    async def test_a_wrong_profile(self, server, clock):
        async with connected(server, clock, settings={"profileName": "IOT_x"}) as digicert:
            answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-credentials"

    async def test_our_own_rules_forbid_the_address(self, server, clock):
        async with connected(server, clock, rules=EgressRules()) as digicert:
            answer = await digicert.order(an_order())
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-egress-refused"
        assert "ACCREDIT_EGRESS_ALLOW" in answer.reason
        assert server.calls == []

    async def test_a_key_that_is_no_header_value(self, server, clock):
        async with connected(server, clock, key=b"secret\nkey") as digicert:
            answer = await digicert.order(an_order())
        assert answer == Rejected(answer.reason, "ca-egress-refused")
        assert "secret" not in answer.reason


class TestDeferred:
    """The CA did not take the order: nothing can have been signed."""

    @pytest.mark.parametrize(
        ("fault", "waits"),
        [
            ("throttle-seconds", [17]),
            ("throttle-date", [90]),
            ("throttle-bare", DEFAULT_WAITS),
            ("unavailable", [300]),
        ],
    )
    async def test_by_fault(self, server, digicert, fault, waits):
        server.faults.append(fault)
        answer = await digicert.order(an_order())
        assert isinstance(answer, Deferred)
        assert answer.retry_after_s in waits
        assert server.signed == []

    async def test_nobody_listens(self, server, clock):
        async with fake.DigiCertOneServer(now=clock.now) as gone:
            url = gone.url
        async with connected(server, clock, url=url) as digicert:
            answer = await digicert.order(an_order())
        assert isinstance(answer, Deferred)
        assert answer.retry_after_s in DEFAULT_WAITS

    async def test_the_wait_grows_with_the_attempts_and_differs_between_orders(self, server, digicert):
        server.faults.extend(["throttle-bare"] * 41)
        waits = []
        for number in range(40):
            answer = await digicert.order(an_order(operation_id=f"op-{number}", attempt=6))
            assert isinstance(answer, Deferred)
            waits.append(answer.retry_after_s)
        assert len(set(waits)) > 10
        assert min(waits) > max(DEFAULT_WAITS)
        assert max(waits) <= AUTHORITY_RETRY.cap_s


class TestUnknown:
    """The answer was lost: a certificate may have been signed, and the look-up tells."""

    @pytest.mark.parametrize("fault", sorted(faults.LOST_FAULTS))
    async def test_what_was_signed_is_found(self, server, digicert, fault):
        server.faults.append(fault)
        order = an_order()
        answer = await digicert.order(order)
        assert isinstance(answer, Unknown), answer
        (found,) = await digicert.find(order)
        assert sha256s(server) == [found.sha256.hex()]
        assert found.ca_reference == server.signed[0]["certificateId"]
        assert len(found.chain) == 3

    async def test_the_connection_ends_before_signing(self, server, digicert):
        server.faults.append("drop-before")
        order = an_order()
        assert isinstance(await digicert.order(order), Unknown)
        assert server.signed == []
        assert list(await digicert.find(order)) == []

    async def test_an_answer_later_than_the_deadline(self, server, digicert):
        server.delay_s = 2 * PATIENCE_S
        ordered = asyncio.create_task(digicert.order(an_order()))
        await until(lambda: server.signed)
        passes(PATIENCE_S)
        assert isinstance(await ordered, Unknown)
        assert len(server.signed) == 1

    async def test_every_fault_has_its_test(self):
        tested = {
            "drop-before",
            "refuse-echo",
            "throttle-seconds",
            "throttle-date",
            "throttle-bare",
            "unavailable",
        }
        by_fault = {
            "refuse-400",
            "refuse-401",
            "refuse-403",
            "refuse-404",
            "refuse-409",
            "refuse-singular",
            "redirect",
        }
        assert tested | by_fault | {"turned-down"} == faults.UNSIGNED_FAULTS


class TestPending:
    async def test_is_polled_until_it_is_issued(self, server, digicert):
        server.faults.append("pending")
        order = an_order()
        ordered = await digicert.order(order)
        assert isinstance(ordered, Pending)
        assert ordered.retry_after_s == 10
        assert server.signed == []
        assert await digicert.poll(order, ordered.handle) == ordered
        server.release()
        answer = await digicert.poll(order, ordered.handle)
        assert isinstance(answer, Delivered)
        assert sha256s(server) == [answer.issued.sha256.hex()]

    @pytest.mark.parametrize(
        "fault", ["unavailable", "throttle-seconds", "error-500", "html", "drop-after", "hang-after"]
    )
    async def test_stays_pending_while_the_ca_can_not_say(self, server, digicert, fault):
        server.list_faults.append(fault)
        answer = await digicert.poll(an_order(), "handle")
        assert isinstance(answer, Pending)
        assert answer.handle == "handle"
        assert answer.retry_after_s >= 1

    async def test_is_unknown_when_the_ca_refuses_to_say(self, server, digicert):
        """What it has taken it may still sign."""
        server.list_faults.append("refuse-401")
        answer = await digicert.poll(an_order(), "handle")
        assert isinstance(answer, Unknown)
        assert "apiKey" in answer.reason

    async def test_ends_when_what_was_issued_is_not_what_was_ordered(self, server, clock):
        async with connected(
            server, clock, settings={"profileName": fake.PROFILE, "maxValidityDays": 2}
        ) as digicert:
            server.faults.append("pending")
            order = an_order()
            await digicert.order(order)
            server.release()
            answer = await digicert.poll(order, "handle")
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-wrong-life"
        assert answer.stray is not None
        assert sha256s(server) == [answer.stray.sha256.hex()]


class TestFind:
    async def test_the_newest_first(self, server, digicert, clock):
        order = an_order()
        for _ in range(3):
            await digicert.order(order)
            clock.advance(100)
        found = await digicert.find(order)
        assert [issued.sha256.hex() for issued in found] == sha256s(server)[::-1]

    async def test_another_key_or_name_is_not_ours(self, server, digicert):
        server.ignores_common_name = True
        await digicert.order(an_order("device-2", which=0))
        await digicert.order(an_order("device-1", which=1))
        assert list(await digicert.find(an_order("device-1", which=0))) == []

    async def test_an_older_one_than_the_intent_is_not_ours(self, server, digicert, clock):
        order = an_order()
        await digicert.order(order)  # its notBefore is ten minutes ago
        assert len(await digicert.find(replace(order, since=NOW - 600 + 3600))) == 1
        assert len(await digicert.find(replace(order, since=NOW - 600 + 3601))) == 0

    async def test_one_that_fails_the_checks_is_left_out(self, server, digicert):
        server.faults.extend(["broken-chain", "expired"])
        order = an_order()
        await digicert.order(order)
        await digicert.order(order)
        assert list(await digicert.find(order)) == []

    async def test_reads_on_when_the_list_ignores_the_name_and_cuts_its_pages(self, server, digicert):
        server.ignores_common_name, server.page_limit = True, 3
        for number in range(7):
            await digicert.order(an_order(f"other-{number}"))
        order = an_order("device-1")
        await digicert.order(order)
        found = await digicert.find(order)
        assert [issued.sha256.hex() for issued in found] == sha256s(server)[-1:]

    async def test_a_list_without_end_is_left(self, server, digicert):
        server.ignores_common_name, server.page_limit = True, 1
        for number in range(MAX_PAGES + 3):
            await digicert.order(an_order(f"other-{number}"))
        assert list(await digicert.find(an_order("device-1"))) == []
        assert sum(call.method == "GET" for call in server.calls) == MAX_PAGES

    async def test_what_is_asked(self, server, digicert):
        await digicert.find(an_order())
        (call,) = server.calls
        assert call.method == "GET"
        assert call.query["enrollment_profile_id"] == fake.PROFILE
        assert call.query["common_name"] == "device-1"
        assert call.headers["x-api-key"] == fake.API_KEY

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("unavailable", UpstreamUnavailable),
            ("throttle-seconds", UpstreamUnavailable),
            ("error-500", UpstreamUnavailable),
            ("html", UpstreamUnavailable),
            ("drop-before", UpstreamUnavailable),
            ("drop-mid-answer", UpstreamUnavailable),
            ("hang-after", UpstreamUnavailable),
            ("huge", UpstreamUnavailable),
            ("refuse-401", UpstreamRejected),
            ("refuse-404", UpstreamRejected),
            ("redirect", UpstreamRejected),
        ],
    )
    async def test_raises_only_its_two_kinds(self, server, digicert, fault, kind):
        await digicert.order(an_order())
        server.list_faults.append(fault)
        with pytest.raises(kind) as caught:
            await digicert.find(an_order())
        assert fake.API_KEY not in "".join(traceback.format_exception(caught.value))
        if fault == "throttle-seconds":
            assert caught.value.retry_after_s == 17


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "secrets"),
        [
            ({}, None),
            ({"profileName": ""}, None),
            ({"profileName": 7}, None),
            ({"profileName": "p"}, {}),
            ({"profileName": "p", "trustAnchors": "not PEM"}, None),
        ],
    )
    async def test_a_record_that_is_not_whole(self, server, clock, settings, secrets):
        egress = Egress(EgressRules())
        with pytest.raises(Malformed):
            DigiCertOne(record(settings, secrets), Surroundings(egress, clock, server.url))
        await egress.close()


class TestSecrets:
    async def test_stay_out_of_answers_and_logs(self, server, digicert, caplog):
        caplog.set_level(logging.DEBUG)
        told = [repr(vars(digicert))]
        for fault in sorted(faults.FAULTS - {"huge", "hang-after"}):
            server.faults.append(fault)
            told.append(repr(await digicert.order(an_order())))
        assert fake.API_KEY not in "".join(told) + caplog.text
        assert len(told) == len(faults.FAULTS) - 1


class TestMischief:
    @pytest.mark.parametrize("seed", range(3))
    async def test_every_answer_is_true_to_the_ledger(self, clock, seed, tmp_path):
        """Whatever happens: no signature goes untold, and no certificate is told that was not signed."""
        ledger = tmp_path / "ledger.jsonl"
        calm = faults.FAULTS - {"huge", "hang-after"}
        async with fake.DigiCertOneServer(now=clock.now, seed=seed, ledger=ledger) as server:
            server.rates = dict.fromkeys(calm, 0.9 / len(calm))
            settings = {"profileName": fake.PROFILE, "trustAnchors": server.root_pem, "maxValidityDays": 31}
            kinds = set()
            async with connected(server, clock, settings=settings) as digicert:
                for number in range(80):
                    order = an_order(f"device-{number}")
                    before = len(server.signed)
                    answer = await digicert.order(order)
                    kinds.add(type(answer))
                    signed = sha256s(server)[before:]
                    match answer:
                        case Delivered(issued):
                            assert signed == [issued.sha256.hex()]
                            assert issued.spki_sha256 == order.request.spki_sha256
                        case Rejected(stray=None) | Deferred() | Pending():
                            assert signed == []
                        case Rejected(stray=stray):
                            assert signed == [stray.sha256.hex()]
                        case Unknown():
                            found = await digicert.find(order)
                            assert signed == [issued.sha256.hex() for issued in found]
            written = [json.loads(line)["sha256"] for line in ledger.read_text().splitlines()]
            assert written == sha256s(server)
        assert kinds == {Delivered, Rejected, Deferred, Pending, Unknown}


class TestAsAProcess:
    async def test_the_fake_runs_beside_a_service(self, clock, tmp_path):
        ledger = tmp_path / "ledger.jsonl"
        script = Path(fake.__file__)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            "--ledger",
            str(ledger),
            "--rate",
            "drop-after=1",
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            told = json.loads(await process.stdout.readline())
            assert urlsplit(told["url"]).port
            clock.instant = time.time()
            async with connected(None, clock, url=told["url"]) as digicert:
                order = an_order(since=int(clock.now()))
                assert isinstance(await digicert.order(order), Unknown)
                (found,) = await digicert.find(order)
            assert [json.loads(line)["sha256"] for line in ledger.read_text().splitlines()] == [
                found.sha256.hex()
            ]
        finally:
            process.terminate()
            await process.wait()


class TestRevoking:
    WORDS = {
        "unspecified": "unspecified",
        "keyCompromise": "key_compromise",
        "cACompromise": "unspecified",
        "affiliationChanged": "affiliation_changed",
        "superseded": "unspecified",
        "cessationOfOperation": "cessation_of_operation",
        "privilegeWithdrawn": "privilege_withdrawn",
        "aACompromise": "aa_compromise",
    }

    @pytest.mark.parametrize("reason", RevocationReason)
    async def test_now_and_for_a_reason_that_the_api_knows(self, server, digicert, reason):
        issued = (await digicert.order(an_order())).issued
        await digicert.revoke(issued, reason)
        (told,) = server.revoked
        assert told == {
            "serial": f"{issued.serial:X}",
            "reason": self.WORDS[reason.value],
            "revocation_date": "2027-01-15T08:00:00Z",
        }

    async def test_twice_is_as_once(self, server, digicert):
        issued = (await digicert.order(an_order())).issued
        await digicert.revoke(issued, RevocationReason.SUPERSEDED)
        await digicert.revoke(issued, RevocationReason.KEY_COMPROMISE)
        await digicert.revoke(replace(issued, ca_reference=None), RevocationReason.KEY_COMPROMISE)
        assert len(server.revoked) == 1

    async def test_by_its_serial_number_where_the_id_is_not_known(self, server, digicert):
        issued = (await digicert.order(an_order())).issued
        await digicert.revoke(replace(issued, ca_reference=None), RevocationReason.SUPERSEDED)
        assert server.revoked[0]["serial"] == f"{issued.serial:X}"

    @pytest.mark.parametrize("reference", [None, "no/such", "no-such-id"])
    async def test_one_that_digicert_does_not_know(self, server, digicert, reference):
        issued = (await digicert.order(an_order())).issued
        # Another certificate that the list shows under the same number is not ours to revoke.
        server._records[0]["body"] = server.root_pem
        with pytest.raises(UpstreamRejected):
            await digicert.revoke(replace(issued, ca_reference=reference), RevocationReason.SUPERSEDED)
        server._records[0]["body"] = "garbled"
        with pytest.raises(UpstreamRejected):
            await digicert.revoke(replace(issued, ca_reference=reference), RevocationReason.SUPERSEDED)
        assert server.revoked == []

    async def test_where_digicert_is_down(self, server, digicert, clock):
        issued = (await digicert.order(an_order())).issued
        async with connected(server, clock, url="http://127.0.0.1:1") as nowhere:
            with pytest.raises(UpstreamUnavailable):
                await nowhere.revoke(issued, RevocationReason.SUPERSEDED)

    async def test_with_a_key_that_ended(self, server, clock, digicert):
        issued = (await digicert.order(an_order())).issued
        async with connected(server, clock, key=b"another") as stranger:
            with pytest.raises(UpstreamRejected) as refused:
                await stranger.revoke(issued, RevocationReason.SUPERSEDED)
        assert refused.value.rule == "ca-credentials"


class TestProbing:
    async def test_the_profile_can_be_read(self, digicert):
        await digicert.probe()

    async def test_a_login_page_is_no_list(self, server, digicert):
        server.list_faults.append("html")
        with pytest.raises(UpstreamUnavailable):
            await digicert.probe()
