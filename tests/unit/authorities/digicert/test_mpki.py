"""Trust Lifecycle Manager: what is sent, and what only this dialect has; the rest is in tests/contract."""

import json

import pytest
from cryptography import x509

from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.interfaces import Delivered, Unknown
from support.digicert_one import API_KEY, PROFILE
from support.fake_http import Answer, Scripted, document
from support.hand_clock import HandClock
from support.signing_requests import order
from support.vendor_authorities import FAKES, connected

NOW = 1_800_000_000
FAKE = FAKES["DigiCertMpki"]


@pytest.fixture
async def server():
    async with FAKE.serving(HandClock(NOW)) as running:
        yield running


def before(server, **settings):
    return connected(FAKE.record(server, **settings), HandClock(NOW))


async def test_what_is_sent(server):
    wanted = order("Device-7")
    async with before(server, maxValidityDays=31) as ca:
        answer = await ca.order(wanted)
    assert isinstance(answer, Delivered)
    (call,) = server.calls
    assert (call.method, call.path) == ("POST", "/mpki/api/v1/certificate")
    assert call.headers["x-api-key"] == API_KEY
    told = json.loads(call.body)
    assert x509.load_pem_x509_csr(told.pop("csr").encode()) == wanted.request.csr
    assert told == {
        "profile": {"id": PROFILE},
        "seat": {"seat_id": "Device-7"},
        "validity": {"unit": "days", "duration": 31},
        "delivery_format": "x509",
        "include_ca_chain": True,
        "attributes": {"subject": {"common_name": "Device-7"}},
    }
    assert answer.issued.ca_reference == f"{answer.issued.serial:X}"


async def test_without_a_longest_life_the_profile_says_how_long(server):
    async with before(server) as ca:
        await ca.order(order())
    assert "validity" not in json.loads(server.calls[0].body)


async def test_a_profile_that_is_not_there(server):
    async with before(server, profileName="IOT_another") as ca:
        with pytest.raises(UpstreamRejected, match="403"):
            await ca.probe()


async def test_a_profile_that_is_switched_off(server):
    server.profile_status = "Inactive"
    async with before(server) as ca:
        with pytest.raises(UpstreamRejected, match="not active"):
            await ca.probe()


@pytest.mark.parametrize(
    "body", [b"[]", b'{"certificate":1}', b'{"certificate":""}', b'{"serial_number":"1"}']
)
async def test_an_answer_without_a_certificate(body):
    async with Scripted(Answer(201, body)) as server, before(server) as ca:
        assert isinstance(await ca.order(order()), Unknown)


async def test_records_that_can_not_be_read_are_passed_over():
    async with Scripted(document(200, {"items": [{}, {"certificate": "x"}]})) as server, before(server) as ca:
        assert await ca.find(order()) == []


async def test_a_search_that_is_none():
    async with Scripted(document(200, {"total": 0})) as server, before(server) as ca:
        with pytest.raises(UpstreamUnavailable):
            await ca.find(order())
