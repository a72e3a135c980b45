"""When to renew: never too late, and never all at once."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.credential import IssuedChain
from accredit.policy.renewal_window import HARD_FLOOR_S, renewal_window

DAY = 86_400
BORN = 1_700_000_000


def issued(number: int, not_before: int = BORN, life_s: int = 30 * DAY) -> IssuedChain:
    digest = sha256(b"certificate %d" % number).digest()
    return IssuedChain((b"leaf",), number, not_before, not_before + life_s, digest, b"k" * 32)


def test_a_month_is_renewed_from_its_twentieth_to_its_twentyfifth_day() -> None:
    window = renewal_window(issued(1))
    assert (window.opens_at, window.closes_at) == (BORN + 20 * DAY, BORN + 25 * DAY)


def test_a_fleet_that_was_issued_in_one_second_spreads_evenly() -> None:
    fleet = 100_000
    hours = Counter((renewal_window(issued(number)).renew_at - BORN) // 3_600 for number in range(fleet))
    assert len(hours) == 5 * 24, "every hour of the window has its share"
    fair = fleet / len(hours)
    assert max(hours.values()) < 1.2 * fair
    assert min(hours.values()) > 0.8 * fair


@given(number=st.integers(0, 1 << 40), born=st.integers(0, 1 << 32), life_s=st.integers(0, 3_650 * DAY))
def test_it_lies_between_two_thirds_and_five_sixths_of_the_life(number: int, born: int, life_s: int) -> None:
    certificate = issued(number, born, life_s)
    window = renewal_window(certificate)
    assert window.opens_at <= window.renew_at <= window.closes_at
    assert certificate.not_before <= window.opens_at
    assert window.closes_at <= certificate.not_after
    assert (window.opens_at - born) * 3 >= life_s * 2, "before that, the same key gets the same certificate"
    if life_s > 6 * HARD_FLOOR_S:
        assert certificate.not_after - window.closes_at >= HARD_FLOOR_S


def test_the_place_of_a_certificate_is_its_own_and_stays() -> None:
    assert renewal_window(issued(7)) == renewal_window(issued(7))
    assert renewal_window(issued(7)).renew_at != renewal_window(issued(8)).renew_at
