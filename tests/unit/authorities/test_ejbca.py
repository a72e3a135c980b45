"""EJBCA: what is sent, and what only this dialect has; the rest is in tests/contract."""

import base64
import json

import pytest
from cryptography import x509

from accredit.authorities.ejbca import Enrolled, Garbled, problem, read
from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.interfaces import Deferred, Delivered, Pending, Rejected, Unknown
from support.fake_http import Answer, Scripted, document
from support.hand_clock import HandClock
from support.signing_requests import order
from support.vendor_authorities import FAKES, connected, record
from support.vendor_fakes import EjbcaServer

NOW = 1_800_000_000
FAKE = FAKES["Ejbca"]


@pytest.fixture
async def server():
    async with FAKE.serving(HandClock(NOW)) as running:
        yield running


@pytest.fixture
async def ca(server):
    async with before(server) as authority:
        yield authority


def before(server, **settings):
    return connected(FAKE.record(server, **settings), HandClock(NOW))


def scripted(server, **settings):
    members = {
        "certificateProfile": "D",
        "endEntityProfile": "F",
        "certificateAuthority": "C",
        "url": server.url,
    }
    return connected(record("Ejbca", {**members, **settings}, {"clientKey": "key"}), HandClock(NOW))


async def test_what_is_sent(server, ca):
    wanted = order("Device-7")
    assert isinstance(await ca.order(wanted), Delivered)
    (call,) = server.calls
    assert (call.method, call.path) == EjbcaServer.orders
    told = json.loads(call.body)
    assert x509.load_pem_x509_csr(told.pop("certificate_request").encode()) == wanted.request.csr
    assert len(told.pop("password")) == 32
    assert told == {
        "certificate_profile_name": "Device",
        "end_entity_profile_name": "Fleet",
        "certificate_authority_name": "Fleet CA",
        "username": "Device-7",
        "include_chain": True,
    }


async def test_the_chain_is_known_when_it_is_probed(server, ca):
    standing = await ca.probe()
    assert len(standing.chain) == 2


async def test_a_ca_that_we_may_not_use_is_not_stored(server):
    async with before(server, certificateAuthority="Another") as ca:
        with pytest.raises(UpstreamRejected, match="no CA named Another"):
            await ca.probe()


async def test_base64_of_base64(server, ca):
    server.twice = True
    assert isinstance(await ca.order(order()), Delivered)
    server.faults.append("drop-after")
    wanted = order("device-9")
    assert isinstance(await ca.order(wanted), Unknown)
    assert len(await ca.find(wanted)) == 1


async def test_a_request_without_a_number_is_looked_for(server, ca):
    server.numbered = False
    server.faults.append("pending")
    wanted = order()
    pending = await ca.order(wanted)
    assert pending.handle == "unnumbered"
    assert isinstance(await ca.poll(wanted, pending.handle), Pending)
    server.release()
    assert isinstance(await ca.poll(wanted, pending.handle), Delivered)


@pytest.mark.parametrize(("fault", "outcome"), [("unavailable", Pending), ("refuse-403", Unknown)])
async def test_where_that_look_up_fails(server, ca, fault, outcome):
    server.list_faults.append(fault)
    assert isinstance(await ca.poll(order(), "unnumbered"), outcome)


async def test_an_approval_that_was_not_given(server, ca):
    answer = await ca.poll(order(), "4711")
    assert isinstance(answer, Rejected)
    assert "has been rejected" in answer.reason


async def test_a_finalization_whose_answer_is_lost(server, ca):
    server.list_faults.append("drop-after")
    assert isinstance(await ca.poll(order(), "4711"), Unknown)


async def test_a_finalization_that_is_not_sent():
    async with Scripted("drop-after") as server:
        url = server.url
    members = {"certificateProfile": "D", "endEntityProfile": "F", "certificateAuthority": "C", "url": url}
    async with connected(record("Ejbca", members, {"clientKey": "k"}), HandClock(NOW)) as ca:
        assert isinstance(await ca.poll(order(), "1"), Pending)
        assert isinstance(await ca.order(order()), Deferred)


async def test_a_finalization_without_its_chain_above(server, ca):
    """The certificate counts; what is above it is had later."""
    server.faults.append("pending")
    server.pending_lists = 0
    wanted = order()
    pending = await ca.order(wanted)
    server.list_faults.extend([None, "unavailable"])
    async with before(server, trustAnchors=FAKE.record(server).settings["trustAnchors"]) as anchored:
        answer = await anchored.poll(wanted, pending.handle)
    assert isinstance(answer, Rejected)
    assert answer.stray is not None


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"certificate":7}',
        b'{"certificate":"MAA="}',
        b'{"certificate":"nonsense!"}',
        b'{"certificate":"QUFB"}',
    ],
)
async def test_an_answer_without_a_certificate(body):
    async with Scripted(Answer(201, body)) as server, scripted(server) as ca:
        assert isinstance(await ca.order(order()), Unknown)


async def test_what_a_look_up_passes_over():
    listed = document(200, {"certificates": [{}, {"certificate": "QUFB"}]})
    async with Scripted(listed) as server, scripted(server) as ca:
        assert await ca.find(order()) == []


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (document(200, {"revoked": False}), UpstreamRejected),
        (Answer(200, b"<html>"), UpstreamUnavailable),
        (document(404, {"error_message": "no such certificate"}), UpstreamRejected),
        (document(202, {"error_message": "it waits for approval"}), UpstreamRejected),
    ],
)
async def test_a_revocation_that_is_not_certain(server, ca, answer, wrong):
    issued = (await ca.order(order())).issued
    async with Scripted(answer) as odd, scripted(odd) as other:
        with pytest.raises(wrong):
            await other.revoke(issued, RevocationReason.SUPERSEDED)


async def test_no_client_certificate_no_order(server):
    made = FAKE.record(server)
    settings = {name: value for name, value in made.settings.items() if name != "clientCertificate"}
    bare = record("Ejbca", settings, {"clientKey": "key"})
    async with connected(bare, HandClock(NOW)) as ca:
        assert not isinstance(await ca.order(order()), Delivered)
        with pytest.raises(UpstreamUnavailable):
            await ca.probe()
    assert server.signed == []


@pytest.mark.parametrize(
    "missing", ["url", "certificateProfile", "endEntityProfile", "certificateAuthority", "clientKey"]
)
async def test_settings_that_can_not_be_used(server, missing):
    made = FAKE.record(server)
    settings = {name: value for name, value in made.settings.items() if name != missing}
    secrets = {} if missing == "clientKey" else {"clientKey": made.secrets["clientKey"].reveal().decode()}
    settings.pop("clientCertificate")
    with pytest.raises(Malformed):
        async with connected(record("Ejbca", settings, secrets), HandClock(NOW)):
            pass


def test_what_is_no_document():
    with pytest.raises(Garbled):
        read(b"<html>", Enrolled)
    assert problem(b"<html>") == problem(b"{}") == ""
    text = base64.b64encode(b"0").decode()
    with pytest.raises(UpstreamRejected):
        Enrolled(text).ders()
