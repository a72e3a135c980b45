"""What the connectors of bought CAs make of each fault, lost answer and approval; before fakes that sign."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.credential import RevocationReason
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.interfaces import Deferred, Delivered, Pending, PollsOrder, Rejected, Unknown
from support import digicert_faults as faults
from support import programs
from support.hand_clock import HandClock
from support.signing_requests import key, order
from support.vendor_authorities import FAKES, VENDORS, connected, record

NOW = 1_800_000_000
WRONG = {
    "another-key": "ca-wrong-key",
    "another-name": "ca-wrong-name",
    "expired": "ca-wrong-life",
    "not-yet": "ca-wrong-life",
    "ca-true": "ca-issued-a-ca",
}


@pytest.fixture(params=FAKES.values(), ids=FAKES)
def fake(request):
    return request.param


@pytest.fixture
async def server(fake):
    async with fake.serving(HandClock(NOW)) as running:
        yield running


@pytest.fixture
async def ca(fake, server):
    async with connected(fake.record(server), HandClock(NOW)) as authority:
        yield authority


@pytest.mark.parametrize("name", VENDORS)
async def test_openssl_verifies_the_chain(name, tmp_path):
    async with VENDORS[name]() as hand:
        answer = await hand.authority.order(order(since=int(hand.clock.now())))
        assert isinstance(answer, Delivered), answer
        leaf, *above = (
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in answer.issued.chain
        )
        (tmp_path / "leaf.pem").write_bytes(leaf)
        (tmp_path / "above.pem").write_bytes(b"".join(above))
        (tmp_path / "root.pem").write_bytes(above[-1])
        strict = ("verify", "-x509_strict", "-purpose", "sslclient", "-attime", str(int(hand.clock.now())))
        files = ("-CAfile", "root.pem", "-untrusted", "above.pem", "leaf.pem")
        assert ": OK" in programs.run(
            "openssl", *strict, *(str(tmp_path / f) if f.endswith(".pem") else f for f in files)
        )


async def test_probed(ca):
    await ca.probe()


@pytest.mark.parametrize("fault", sorted(faults.HARMLESS_FAULTS - {"pending", "root-missing"}))
async def test_told_unusually(ca, server, fault):
    server.faults.append(fault)
    answer = await ca.order(order())
    assert isinstance(answer, Delivered), answer
    assert server.signed[0]["sha256"] == answer.issued.sha256.hex()
    assert len(answer.issued.chain) == 3


@pytest.mark.parametrize("fault", sorted(faults.LOST_FAULTS - {"duplicate", "nameless"}))
async def test_a_lost_answer_is_unknown_and_found(ca, server, fault):
    server.faults.append(fault)
    wanted = order()
    answer = await ca.order(wanted)
    assert isinstance(answer, Unknown), answer
    (found,) = await ca.find(wanted)
    assert found.sha256.hex() == server.signed[0]["sha256"]
    assert len(found.chain) == 3


@pytest.mark.parametrize("fault", sorted(faults.UNSIGNED_FAULTS - {"turned-down"}))
async def test_nothing_was_signed(ca, server, fault):
    server.faults.append(fault)
    answer = await ca.order(order())
    match fault:
        case "drop-before":
            assert isinstance(answer, Unknown)
        case "unavailable" | "throttle-seconds" | "throttle-date" | "throttle-bare":
            assert isinstance(answer, Deferred)
        case _:
            assert isinstance(answer, Rejected)
            assert answer.stray is None
    assert server.api_key not in str(answer)
    assert await ca.find(order()) == []


@pytest.mark.parametrize("fault", sorted(WRONG))
async def test_something_else_was_signed(ca, server, fault):
    server.faults.append(fault)
    answer = await ca.order(order())
    assert isinstance(answer, Rejected), answer
    assert answer.rule == WRONG[fault]
    assert answer.stray is not None
    assert answer.stray.sha256.hex() == server.signed[0]["sha256"]


async def test_an_approval_is_waited_for(ca, server):
    if not isinstance(ca, PollsOrder):
        pytest.skip("nothing waits for approval there")
    server.faults.append("pending")
    server.pending_lists = 1
    wanted = order()
    answer = await ca.order(wanted)
    asked = 0
    while isinstance(answer, Pending) and asked < 5:
        asked += 1
        answer = await ca.poll(wanted, answer.handle)
    assert isinstance(answer, Delivered), answer
    assert asked == 2
    assert len(answer.issued.chain) == 3


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("unavailable", Pending),
        ("throttle-seconds", Pending),
        ("refuse-403", Unknown),
        ("refuse-401", Unknown),
    ],
)
async def test_a_poll_that_is_not_answered(ca, server, fault, outcome):
    if not isinstance(ca, PollsOrder):
        pytest.skip("nothing waits for approval there")
    server.faults.append("pending")
    wanted = order()
    pending = await ca.order(wanted)
    server.list_faults.append(fault)
    assert isinstance(await ca.poll(wanted, pending.handle), outcome)


@pytest.mark.parametrize("fault", ["html", "error-500", "unavailable"])
async def test_a_look_up_that_is_not_answered(ca, server, fault):
    server.list_faults.append(fault)
    with pytest.raises(UpstreamUnavailable):
        await ca.find(order())
    server.list_faults.append(fault)
    with pytest.raises(UpstreamUnavailable):
        await ca.probe()


async def test_what_is_another_devices_or_too_old_is_not_found(ca, server):
    wanted = order("device-2", private=key(which=1))
    assert isinstance(await ca.order(order()), Delivered)
    assert isinstance(await ca.order(wanted), Delivered)
    assert await ca.find(order("device-2", private=key(which=2))) == []
    assert await ca.find(order("device-2", private=key(which=1), since=NOW + 100_000)) == []
    assert len(await ca.find(wanted)) == 1


@pytest.mark.parametrize("reason", RevocationReason)
async def test_revoked_once(ca, server, reason):
    answer = await ca.order(order())
    assert isinstance(answer, Delivered)
    await ca.revoke(answer.issued, reason)
    await ca.revoke(answer.issued, RevocationReason.KEY_COMPROMISE)
    (told,) = server.revoked
    assert told["serial"] == f"{answer.issued.serial:X}"
    word = told.get("reason") or told["revocation_reason"]
    assert word.replace("_", "").replace("PRIVILEGES", "PRIVILEGE").lower() == reason.value.lower()
    assert await ca.find(order()) == []


async def test_what_it_never_issued_is_not_revoked(ca, server, fake):
    async with fake.serving(HandClock(NOW)) as elsewhere:
        settings = {"trustAnchors": ""} if "trustAnchors" not in fake.record(elsewhere).settings else {}
        async with connected(fake.record(elsewhere, **settings), HandClock(NOW)) as other:
            answer = await other.order(order())
    assert isinstance(answer, Delivered)
    with pytest.raises(UpstreamRejected):
        await ca.revoke(answer.issued, RevocationReason.SUPERSEDED)
    assert server.revoked == []


async def test_a_credential_that_is_not_taken(fake, server):
    right = fake.record(server)
    if "apiKey" not in right.secrets:
        pytest.skip("its credential is judged in the handshake")
    wrong = record(right.type, right.settings, {"apiKey": "another-key"})
    async with connected(wrong, HandClock(NOW)) as ca:
        answer = await ca.order(order())
        with pytest.raises(UpstreamRejected) as refused:
            await ca.probe()
    assert isinstance(answer, Rejected)
    assert answer.rule == refused.value.rule == "ca-credentials"
    assert "another-key" not in answer.reason + refused.value.message


async def test_where_nobody_listens(fake, server):
    nowhere = {"baseUrl" if "baseUrl" in fake.record(server).settings else "url": "http://127.0.0.1:1"}
    async with connected(fake.record(server, **nowhere), HandClock(NOW)) as ca:
        assert isinstance(await ca.order(order()), Deferred)
        with pytest.raises(UpstreamUnavailable):
            await ca.probe()
