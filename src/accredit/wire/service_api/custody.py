"""The forecast of renewals and ends, and the orphans, as the service API shows them (extensions)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from accredit.domain.custody import Ending, Orphan, OrphanKind
from accredit.wire.instants import iso
from accredit.wire.service_api.certificates import instant, serial_hex

MAX_DAYS = 3_650
DEFAULT_DAYS = 30
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WHAT_TO_DO = {
    OrphanKind.UNKNOWN: "ask the CA for what it signed for this CSR, and revoke it there",
    OrphanKind.STRAY: "look into what the CA signed and why; it is revoked where the CA can be told",
    OrphanKind.RESERVED: "nothing: it is revoked; compare the token's own log, if you want to know whether it was signed",
    OrphanKind.UNBOUND: "nothing: its key's device gets it if it asks again; else it ends by itself",
}

WATCHED = "nothing yet: its CA is asked again, and what appears is revoked"


def forecast_rows(endings: Sequence[Ending], first_day: int, days: int) -> list[dict[str, Any]]:
    """One row for each of `days` days from `first_day` on. What should have been renewed before counts to the first."""
    ends, renewals = [0] * days, [0] * days
    for each in endings:
        if each.end_day < first_day + days:
            ends[each.end_day - first_day] += each.certificates
        if each.renewal_day < first_day + days:
            renewals[max(0, each.renewal_day - first_day)] += each.certificates
    return [
        {
            "day": f"{_EPOCH + timedelta(days=first_day + number):%Y-%m-%d}",
            "renewals": renewals[number],
            "ends": ends[number],
        }
        for number in range(days)
    ]


def orphan_document(orphan: Orphan) -> dict[str, Any]:
    """Members that are not known are left out."""
    shown: dict[str, Any] = {
        "kind": orphan.kind.value,
        "authority": orphan.authority.text,
        "loggedAt": iso(orphan.at),
        "remedy": WHAT_TO_DO[orphan.kind],
    }
    if orphan.sha256 is not None:
        shown["sha256"] = orphan.sha256.hex()
    if orphan.watched_until is not None:
        shown["remedy"] = WATCHED
        shown["watchedUntil"] = iso(orphan.watched_until)
    if orphan.serial is not None:
        shown["serial"] = serial_hex(orphan.serial)
    if orphan.registration_id is not None:
        shown["registrationId"] = orphan.registration_id
    if orphan.not_after is not None:
        shown["notAfter"] = instant(orphan.not_after)
    if orphan.revoked_at is not None:
        shown["revokedAt"] = iso(orphan.revoked_at)
        shown["revokedAtItsCa"] = orphan.told_at is not None
    return shown
