"""The retry schedule and `Retry-After` (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.policy.retry import (
    AUTHORITY_RETRY,
    MAX_RETRY_AFTER_S,
    MIN_RETRY_AFTER_S,
    RetrySchedule,
    jitter_of,
    retry_after_s,
)

NOW = 1_800_000_000


class TestSchedule:
    def test_doubles_up_to_the_cap(self):
        schedule = RetrySchedule(base_s=2, cap_s=20)
        assert [schedule.wait_s(attempt, 0.0) for attempt in range(1, 7)] == [2, 4, 8, 16, 20, 20]

    def test_jitter_takes_away_its_share(self):
        schedule = RetrySchedule(base_s=40, cap_s=400, spread=0.5)
        assert (schedule.wait_s(1, 0.0), schedule.wait_s(1, 0.5), schedule.wait_s(1, 1.0)) == (40, 30, 20)

    @pytest.mark.parametrize("jitter", [-0.01, 1.01, float("nan")])
    def test_refuses_a_jitter_out_of_range(self, jitter):
        with pytest.raises(ValueError, match="jitter"):
            AUTHORITY_RETRY.wait_s(1, jitter)

    @given(st.integers(-5, 10**9), st.floats(0, 1))
    def test_stays_within_a_second_and_the_cap(self, attempt, jitter):
        assert 1 <= AUTHORITY_RETRY.wait_s(attempt, jitter) <= AUTHORITY_RETRY.cap_s


class TestJitterOf:
    @given(st.text(alphabet=st.characters(codec="utf-8")))
    def test_is_a_share_and_always_the_same(self, text):
        assert 0.0 <= jitter_of(text) < 1.0
        assert jitter_of(text) == jitter_of(text)

    def test_spreads(self):
        shares = sorted(jitter_of(f"operation-{number}") for number in range(1000))
        assert shares[0] < 0.02
        assert shares[-1] > 0.98
        assert 0.4 < shares[500] < 0.6


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("17", 17),
            (" 17 ", 17),
            ("0", MIN_RETRY_AFTER_S),
            ("86400", MAX_RETRY_AFTER_S),
            ("9" * 60, MAX_RETRY_AFTER_S),
            ("Fri, 15 Jan 2027 08:01:30 GMT", 90),
            ("Friday, 15-Jan-27 08:01:30 GMT", 90),
            ("Fri Jan 15 08:01:30 2027", 90),
            ("Fri, 15 Jan 2027 07:00:00 GMT", MIN_RETRY_AFTER_S),
            ("Fri, 15 Jan 2047 07:00:00 GMT", MAX_RETRY_AFTER_S),
        ],
    )
    def test_reads_both_forms_and_clamps(self, header, seconds):
        assert retry_after_s(header, NOW) == seconds

    @pytest.mark.parametrize(
        "header", [None, "", "soon", "-5", "1.5", "٣", "9" * 65, "Fri, 99 Jan 2027 08:01:30 GMT"]
    )
    def test_has_nothing_where_the_header_is_absent_or_unreadable(self, header):
        assert retry_after_s(header, NOW) is None

    @given(st.text(max_size=80), st.floats(0, 4e9))
    def test_any_text_is_nothing_or_within_bounds(self, header, now):
        seconds = retry_after_s(header, now)
        assert seconds is None or MIN_RETRY_AFTER_S <= seconds <= MAX_RETRY_AFTER_S

    @given(st.integers(1, 300))
    def test_a_date_means_its_distance(self, seconds):
        date = format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)
        assert retry_after_s(date, NOW) == seconds
