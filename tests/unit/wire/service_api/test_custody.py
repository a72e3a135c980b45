"""The forecast by days, and orphans as they are shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.custody import Ending, Orphan, OrphanKind
from accredit.domain.ids import AuthorityName
from accredit.wire.service_api.custody import WATCHED, WHAT_TO_DO, forecast_rows, orphan_document

TODAY = 20_000
OUTSIDE = AuthorityName.parse("outside")


def test_one_row_a_day() -> None:
    rows = forecast_rows([Ending(TODAY + 2, TODAY + 1, 7), Ending(TODAY + 2, TODAY, 1)], TODAY, 3)
    assert rows == [
        {"day": "2024-10-04", "renewals": 1, "ends": 0},
        {"day": "2024-10-05", "renewals": 7, "ends": 0},
        {"day": "2024-10-06", "renewals": 0, "ends": 8},
    ]


def test_a_renewal_that_is_overdue_counts_to_today() -> None:
    [today] = forecast_rows([Ending(TODAY, TODAY - 9, 2)], TODAY, 1)
    assert (today["renewals"], today["ends"]) == (2, 2)


@given(
    st.lists(
        st.builds(Ending, st.integers(TODAY, TODAY + 99), st.integers(0, TODAY + 99), st.integers(1, 9))
    ),
    st.integers(1, 200),
)
def test_nothing_within_the_days_is_lost(endings: list[Ending], days: int) -> None:
    rows = forecast_rows(endings, TODAY, days)
    assert len(rows) == days
    within = [each for each in endings if each.end_day < TODAY + days]
    assert sum(row["ends"] for row in rows) == sum(each.certificates for each in within)


def test_an_orphan_of_which_little_is_known() -> None:
    shown = orphan_document(Orphan(OrphanKind.UNKNOWN, OUTSIDE, b"\x01" * 32, 0))
    assert shown == {
        "kind": "unknown",
        "authority": "outside",
        "sha256": "01" * 32,
        "loggedAt": "1970-01-01T00:00:00.0000000Z",
        "remedy": WHAT_TO_DO[OrphanKind.UNKNOWN],
    }


def test_a_number_that_was_reserved_and_has_no_certificate() -> None:
    shown = orphan_document(Orphan(OrphanKind.RESERVED, OUTSIDE, None, 0, 0xAB))
    assert (shown["kind"], shown["serial"]) == ("reserved", "AB")
    assert "sha256" not in shown


def test_one_that_is_looked_up_again() -> None:
    shown = orphan_document(Orphan(OrphanKind.UNKNOWN, OUTSIDE, b"\x01" * 32, 0, watched_until=60))
    assert (shown["remedy"], shown["watchedUntil"]) == (WATCHED, "1970-01-01T00:01:00.0000000Z")


def test_a_stray_that_is_revoked() -> None:
    stray = Orphan(OrphanKind.STRAY, OUTSIDE, b"\x01" * 32, 0, 0xAB, "lamp-1", 60, 30, None)
    shown = orphan_document(stray)
    assert (shown["serial"], shown["registrationId"]) == ("AB", "lamp-1")
    assert shown["notAfter"] == "1970-01-01T00:01:00Z"
    assert (shown["revokedAt"], shown["revokedAtItsCa"]) == ("1970-01-01T00:00:30.0000000Z", False)


def test_a_serial_number_that_a_token_may_have_signed() -> None:
    shown = orphan_document(Orphan(OrphanKind.RESERVED, OUTSIDE, None, 0, 0xAB, revoked_at=30, told_at=30))
    assert "sha256" not in shown
    assert (shown["kind"], shown["serial"], shown["revokedAtItsCa"]) == ("reserved", "AB", True)
    assert shown["remedy"] == WHAT_TO_DO[OrphanKind.RESERVED]
