"""`quota` and `allowedRegistrationIdsOnly` of enrollment groups (extensions): how many devices, how fast, and which."""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.errors import Malformed
from accredit.domain.quota import ALLOWED_ONLY, QUOTA

MAX_QUOTA = 100_000_000


class QuotaDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Either member may be left out: no limit."""

    max_registrations: int | None = None
    registrations_per_minute: int | None = None


def quota_settings(
    quota: QuotaDocument | None, *, allowed_only: bool | None, individual: bool
) -> dict[str, Any]:
    """As an enrollment's settings keep them; raises Malformed, also for an individual enrollment that has one."""
    if individual and (quota is not None or allowed_only):
        raise Malformed("quota and allowedRegistrationIdsOnly are for enrollment groups.", rule="quota")
    limits: dict[str, int] = {}
    if quota is not None:
        for member, value in (
            ("maxRegistrations", quota.max_registrations),
            ("registrationsPerMinute", quota.registrations_per_minute),
        ):
            if value is None:
                continue
            if not 1 <= value <= MAX_QUOTA:
                raise Malformed(f"quota.{member} is not from 1 to {MAX_QUOTA}.", rule="quota")
            limits[member] = value
    return {**({QUOTA: limits} if limits else {}), **({ALLOWED_ONLY: True} if allowed_only else {})}
