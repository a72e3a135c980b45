"""What every authority promises (`interfaces.Authority`), whichever it is.

The implementations stand in `support/authorities.py`; what one can do beyond `order` is tested where it says so.
"""

from collections.abc import AsyncIterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from accredit.domain.credential import IssuedChain, Order
from accredit.interfaces import Delivered, Rejected
from accredit.policy.issuance import check_delivered
from support import signing_requests
from support.authorities import AUTHORITIES, AuthorityAtHand, an_order, settled
from support.real_authorities import RealCAs
from support.signing_requests import key


@pytest.fixture(params=AUTHORITIES.values(), ids=AUTHORITIES.keys())
async def hand(request: pytest.FixtureRequest, real_cas: RealCAs) -> AsyncIterator[AuthorityAtHand]:
    async with request.param(real_cas) as at_hand:
        yield at_hand


async def delivered(hand: AuthorityAtHand, ordered: Order) -> IssuedChain:
    answer = await settled(hand.authority, ordered)
    assert isinstance(answer, Delivered), answer
    return answer.issued


def ordered(hand: AuthorityAtHand, registration_id: str = "device-1", **facts) -> Order:
    return an_order(hand, registration_id, **facts)


async def test_it_says_who_it_is(hand):
    assert str(hand.authority.name)
    assert hand.authority.version
    assert isinstance(hand.authority.in_process, bool)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048"])
async def test_the_certificate_has_the_ordered_key_and_name(hand, kind):
    issued = await delivered(hand, ordered(hand, "Device-7", private=key(kind)))
    leaf = x509.load_der_x509_certificate(issued.leaf)
    assert leaf.public_key() == key(kind).public_key()
    names = [each.value for each in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    # Ids are the same in any case; a CA that takes one for a DNS name writes it in lower case.
    assert names in (["Device-7"], ["device-7"])


async def test_the_chain_verifies_link_by_link(hand):
    issued = await delivered(hand, ordered(hand))
    chain = [x509.load_der_x509_certificate(each) for each in issued.chain]
    assert len(chain) > 1
    for below, above in zip(chain, chain[1:], strict=False):
        below.verify_directly_issued_by(above)
        assert above.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


async def test_what_it_says_of_the_certificate_is_so(hand):
    wanted = ordered(hand)
    issued = await delivered(hand, wanted)
    leaf = x509.load_der_x509_certificate(issued.leaf)
    assert issued.serial == leaf.serial_number > 0
    assert issued.not_before == leaf.not_valid_before_utc.timestamp()
    assert issued.not_after == leaf.not_valid_after_utc.timestamp()
    assert issued.sha256 == leaf.fingerprint(hashes.SHA256())
    assert issued.spki_sha256 == wanted.request.spki_sha256


async def test_it_passes_the_judgement_on_outside_certificates(hand):
    wanted = ordered(hand)
    issued = await delivered(hand, wanted)
    anchor, now = issued.chain[-1], int(hand.clock.now())
    checked = check_delivered(wanted, issued.chain, [anchor], None, now, issued.ca_reference)
    assert checked == issued


async def test_it_is_good_now(hand):
    issued = await delivered(hand, ordered(hand))
    assert issued.not_before <= hand.clock.now() < issued.not_after


async def test_a_second_order_is_a_second_certificate(hand):
    first = await delivered(hand, ordered(hand))
    second = await delivered(hand, ordered(hand, "device-2", private=key(which=1)))
    assert first.serial != second.serial
    assert first.sha256 != second.sha256


async def test_a_refusal_is_an_answer(hand):
    answer = await settled(hand.authority, ordered(hand, hand.refuse()))
    assert isinstance(answer, Rejected)
    assert answer.reason
    assert answer.rule
    assert answer.stray is None


async def test_what_was_ordered_is_found_again(hand):
    if not hasattr(hand.authority, "find"):
        pytest.skip("this authority cannot look up orders")
    wanted = ordered(hand, "device-found", private=signing_requests.new_key())
    assert list(await hand.authority.find(wanted)) == []
    issued = await delivered(hand, wanted)
    assert [found.sha256 for found in await hand.authority.find(wanted)] == [issued.sha256]
