"""What every connector of an outside CA does when the CA, or what stands before it, does not do its part.

The CAs are real ones (`support/real_authorities.py`); the proxy before them is told what to spoil.
"""

import subprocess
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.credential import Order, RevocationReason
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.interfaces import Deferred, Delivered, FindsOrder, PollsOrder, Rejected, Revokes, Unknown
from support.authorities import AuthorityAtHand, an_order, real, settled
from support.ca_proxy import LOST
from support.programs import need
from support.real_authorities import MAKERS, RealCA, RealCAs
from support.signing_requests import new_key


@pytest.fixture(params=MAKERS)
async def hand(request: pytest.FixtureRequest, real_cas: RealCAs) -> AsyncIterator[AuthorityAtHand]:
    async with real(request.param)(real_cas) as at_hand:
        yield at_hand


@pytest.fixture
def ca(hand: AuthorityAtHand) -> RealCA:
    assert hand.real is not None
    return hand.real


def ordered(hand: AuthorityAtHand, registration_id: str = "device-1", **facts) -> Order:
    return an_order(hand, registration_id, **{"private": new_key(), **facts})


async def test_openssl_verifies_the_chain(hand: AuthorityAtHand, ca: RealCA, tmp_path: Path) -> None:
    need("openssl")
    answer = await settled(hand.authority, ordered(hand))
    assert isinstance(answer, Delivered), answer
    leaf, *above = (
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in answer.issued.chain
    )
    (tmp_path / "leaf.pem").write_bytes(leaf)
    (tmp_path / "above.pem").write_bytes(b"".join(above))
    (tmp_path / "root.pem").write_text(ca.server.root_pem)
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "above.pem",
         "leaf.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip


async def test_a_probe_says_how_it_stands(hand: AuthorityAtHand, ca: RealCA) -> None:
    standing = await hand.authority.probe()
    anchors = x509.load_pem_x509_certificates(ca.server.root_pem.encode())
    # ACME has no way to ask for the CA's certificates.
    assert ca.kind == "Acme" or [
        der for der in standing.chain if x509.load_der_x509_certificate(der) in anchors
    ]


async def test_wrong_credentials_sign_nothing_and_are_named(hand: AuthorityAtHand, ca: RealCA) -> None:
    record = ca.record(secrets=ca.server.wrong_secrets)
    async with ca.connected(hand.clock, record) as authority:
        answer = await settled(authority, ordered(hand))
        assert isinstance(answer, Rejected), answer
        assert (answer.rule, answer.stray) == ("ca-credentials", None)
        said = answer.reason
        if ca.probes_credentials:
            with pytest.raises(UpstreamRejected) as refused:
                await authority.probe()
            assert refused.value.rule == "ca-credentials"
            said += refused.value.message
    for member, value in ca.server.wrong_secrets.items():
        assert member in answer.reason or member == "accountKey", "nobody sends that one"
        assert value not in said


async def test_down_and_back(hand: AuthorityAtHand, ca: RealCA) -> None:
    ca.proxy.down()
    wanted = ordered(hand)
    async with ca.connected(hand.clock) as authority:
        answer = await settled(authority, wanted)
        assert isinstance(answer, Deferred), answer
        assert answer.retry_after_s > 0
        with pytest.raises(UpstreamUnavailable):
            await authority.probe()
        ca.proxy.up()
        assert isinstance(await settled(authority, wanted), Delivered)


@pytest.mark.parametrize("fault", sorted(LOST))
async def test_a_lost_answer_is_unknown_and_found_where_the_ca_can(
    hand: AuthorityAtHand, ca: RealCA, fault: str
) -> None:
    wanted = ordered(hand, f"device-{fault}")
    ca.proxy.faults.append(fault)
    answer = await settled(hand.authority, wanted)
    # An EST server has nothing to be asked for before it has answered 202.
    if isinstance(hand.authority, PollsOrder) and ca.kind != "Est":
        assert isinstance(answer, Delivered), answer
        assert answer.issued.spki_sha256 == wanted.request.spki_sha256
        return
    assert isinstance(answer, Unknown), answer
    if isinstance(hand.authority, FindsOrder):
        (found,) = await hand.authority.find(wanted)
        assert found.spki_sha256 == wanted.request.spki_sha256
        assert len(found.chain) > 1


async def test_busy_is_deferred_for_as_long_as_the_ca_says(hand: AuthorityAtHand, ca: RealCA) -> None:
    ca.proxy.faults.append("unavailable")
    waits: list[int] = []
    answer = await settled(hand.authority, ordered(hand), waits)
    if isinstance(answer, Deferred):
        waits.append(answer.retry_after_s)
    else:
        assert isinstance(answer, Delivered), answer
    assert 17 in waits


async def test_a_redirect_is_not_followed(hand: AuthorityAtHand, ca: RealCA) -> None:
    ca.proxy.faults.append("redirect")
    answer = await settled(hand.authority, ordered(hand))
    assert isinstance(answer, Rejected), answer
    assert answer.rule == "ca-refused"
    assert "Redirects" in answer.reason


async def test_a_certificate_of_another_key_is_kept_as_a_stray(hand: AuthorityAtHand, ca: RealCA) -> None:
    first = await settled(hand.authority, ordered(hand))
    assert isinstance(first, Delivered), first
    ca.proxy.faults.append("other-key")
    answer = await settled(hand.authority, ordered(hand))
    assert isinstance(answer, Rejected), answer
    assert answer.rule == "ca-wrong-key"
    assert answer.stray is not None
    assert answer.stray.sha256 == first.issued.sha256


async def test_a_chain_to_another_root_is_not_given_out(hand: AuthorityAtHand, ca: RealCA) -> None:
    async with ca.connected(
        hand.clock, ca.record(settings={"trustAnchors": ca.proxy.trust_pem()})
    ) as authority:
        answer = await settled(authority, ordered(hand))
    assert isinstance(answer, Rejected), answer
    assert answer.rule == "ca-untrusted-chain"
    assert answer.stray is not None


async def test_a_longer_life_than_allowed_is_not_given_out(hand: AuthorityAtHand, ca: RealCA) -> None:
    async with ca.connected(hand.clock, ca.record(settings={"maxValidityDays": 1})) as authority:
        answer = await settled(authority, ordered(hand))
    assert isinstance(answer, Rejected), answer
    assert answer.rule == "ca-wrong-life"


@pytest.mark.parametrize("years", [-10, 10])
async def test_with_a_clock_that_is_years_off_nothing_is_given_out(
    hand: AuthorityAtHand, ca: RealCA, years: int
) -> None:
    """Ours or the CA's: to one of them the certificate has ended, or has not begun."""
    hand.clock.advance(years * 365 * 86_400)
    answer = await settled(hand.authority, ordered(hand))
    assert isinstance(answer, Rejected), answer
    if answer.stray is None:
        assert answer.rule in {"ca-credentials", "ca-refused"}, "a log-in of another time"
    else:
        assert answer.rule == "ca-wrong-life"


async def test_tls_of_an_unknown_root_is_not_spoken_to(hand: AuthorityAtHand, ca: RealCA) -> None:
    record = ca.record(settings={"trustAnchors": ca.server.root_pem})
    async with ca.connected(hand.clock, record) as authority:
        answer = await settled(authority, ordered(hand))
    assert isinstance(answer, Deferred), answer
    assert "certificate" in answer.reason.lower()
    assert ca.proxy.calls == []


@pytest.mark.parametrize(
    "reason",
    [
        RevocationReason.UNSPECIFIED,
        RevocationReason.SUPERSEDED,
        RevocationReason.KEY_COMPROMISE,
        RevocationReason.PRIVILEGE_WITHDRAWN,
    ],
)
async def test_a_certificate_is_revoked_and_twice_is_once(
    hand: AuthorityAtHand, ca: RealCA, reason: RevocationReason
) -> None:
    if not isinstance(hand.authority, Revokes):
        pytest.skip("this authority cannot revoke")
    private = new_key()
    answer = await settled(hand.authority, ordered(hand, private=private))
    assert isinstance(answer, Delivered), answer
    assert ca.server.revoked(answer.issued, private) is None
    await hand.authority.revoke(answer.issued, reason)
    assert ca.server.revoked(answer.issued, private) in {str(reason.code), ""}
    await hand.authority.revoke(answer.issued, reason)


async def test_what_it_never_issued_is_not_revoked(
    hand: AuthorityAtHand, ca: RealCA, real_cas: RealCAs
) -> None:
    if not isinstance(hand.authority, Revokes):
        pytest.skip("this authority cannot revoke")
    other = "Vault" if ca.kind == "Cfssl" else "Cfssl"
    async with real(other)(real_cas) as elsewhere:
        answer = await settled(elsewhere.authority, ordered(elsewhere))
    assert isinstance(answer, Delivered), answer
    with pytest.raises((UpstreamRejected, UpstreamUnavailable)) if ca.keeps_serials else nullcontext():
        await hand.authority.revoke(answer.issued, RevocationReason.SUPERSEDED)
