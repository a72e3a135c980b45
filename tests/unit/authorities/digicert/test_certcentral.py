"""CertCentral: what is sent, and what only this dialect has; the rest is in tests/contract."""

import json

import pytest
from cryptography import x509

from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected
from accredit.interfaces import Delivered, Pending, Rejected, Unknown
from accredit.values import replace
from support.digicert_one import API_KEY
from support.fake_http import Answer, Scripted, document
from support.hand_clock import HandClock
from support.signing_requests import order
from support.vendor_authorities import FAKES, connected
from support.vendor_fakes import CertCentralServer

NOW = 1_800_000_000
FAKE = FAKES["DigiCertCertCentral"]


@pytest.fixture
async def server():
    async with FAKE.serving(HandClock(NOW)) as running:
        yield running


def before(server, **settings):
    return connected(FAKE.record(server, **settings), HandClock(NOW))


async def test_what_is_sent(server):
    wanted = order("Device-7")
    async with before(server) as ca:
        assert isinstance(await ca.order(wanted), Delivered)
    (call,) = server.calls
    assert (call.method, call.path) == CertCentralServer.orders
    assert call.headers["x-dc-devkey"] == API_KEY
    told = json.loads(call.body)
    assert x509.load_pem_x509_csr(told["certificate"].pop("csr").encode()) == wanted.request.csr
    assert told == {
        "certificate": {"common_name": "Device-7", "signature_hash": "sha256"},
        "organization": {"id": 4711},
        "payment_method": "balance",
        "skip_approval": True,
        "validity_years": 1,
    }


@pytest.mark.parametrize(("days", "date"), [(1, "2027-01-15"), (31, "2027-02-14")])
async def test_a_longest_life_is_sent_as_its_last_day(server, days, date):
    async with before(server, maxValidityDays=days) as ca:
        await ca.order(order())
    told = json.loads(server.calls[0].body)
    assert told["custom_expiration_date"] == date
    assert "validity_years" not in told


async def test_issued_but_not_with_the_answer(server):
    server.instant = False
    wanted = order()
    async with before(server) as ca:
        pending = await ca.order(wanted)
        assert isinstance(pending, Pending)
        answer = await ca.poll(wanted, pending.handle)
    assert isinstance(answer, Delivered)
    assert answer.issued.ca_reference is not None


async def test_turned_down_by_the_approver(server):
    server.faults.append("pending")
    server.turned_down = True
    server.pending_lists = 9
    async with before(server) as ca:
        pending = await ca.order(order())
        answer = await ca.poll(order(), pending.handle)
    assert isinstance(answer, Rejected)
    assert "rejected" in answer.reason


async def test_an_order_that_is_not_there(server):
    async with before(server) as ca:
        assert isinstance(await ca.poll(order(), "99"), Unknown)


async def test_revoked_by_its_serial_number_where_its_own_is_not_known(server):
    async with before(server) as ca:
        issued = (await ca.order(order())).issued
        await ca.revoke(replace(issued, ca_reference=None), RevocationReason.SUPERSEDED)
    assert server.revoked[0]["serial"] == f"{issued.serial:X}"
    assert server.revoked[0]["skip_approval"] is True


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(201, b"[]"), Unknown),
        (Answer(201, b"{}"), Unknown),
        (document(201, {"id": "7"}), Unknown),
        (document(201, {"id": 7, "certificate_chain": [{"pem": "x"}]}), Pending),
        (document(201, {"id": 7, "certificate_id": 8, "certificate_chain": [{"pem": "x"}]}), Unknown),
        (document(201, {"id": 7, "certificate_id": 8, "certificate_chain": [{}]}), Unknown),
    ],
)
async def test_odd_answers_to_an_order(answer, outcome):
    async with Scripted(answer) as server, before(server) as ca:
        assert isinstance(await ca.order(order()), outcome)


async def test_a_download_that_is_none():
    issued = document(200, {"status": "issued", "certificate": {"id": 8}})
    async with Scripted(issued, Answer(200, b"PK..")) as server, before(server) as ca:
        assert isinstance(await ca.poll(order(), "7"), Unknown)


async def test_what_a_look_up_passes_over():
    orders = {"orders": [
        {"id": 1, "certificate": {"id": 2, "common_name": "another"}},
        {"id": 3, "certificate": {"common_name": "device-1"}},
        {"id": 4, "certificate": {"id": 5, "common_name": "device-1"}},
    ]}  # fmt: skip
    async with Scripted(document(200, orders), Answer(200, b"unreadable")) as server, before(server) as ca:
        assert await ca.find(order()) == []
        assert len(server.calls) == 2


async def test_what_may_not_be_ordered_is_not_stored(server):
    async with before(server, profileName="another_product") as ca:
        with pytest.raises(UpstreamRejected, match="404"):
            await ca.probe()


@pytest.mark.parametrize("organization", ["", "abc", "-1", "9" * 30])
async def test_an_organization_that_is_no_number(server, organization):
    with pytest.raises(Malformed, match="organizationId"):
        async with before(server, organizationId=organization):
            pass
