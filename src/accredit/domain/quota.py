"""How many devices a group takes, and which: extension members of enrollment groups, kept in their settings."""

from __future__ import annotations

from accredit.domain.enrollment import Enrollment
from accredit.values import dataclass

QUOTA = "quota"
ALLOWED_ONLY = "allowedRegistrationIdsOnly"


@dataclass(frozen=True, slots=True)
class Quota:
    """None is no limit. `allowed_only`: whether only ids on the group's list may prove it."""

    max_registrations: int | None = None
    registrations_per_minute: int | None = None
    allowed_only: bool = False


NO_QUOTA = Quota()


def quota_of(enrollment: Enrollment) -> Quota:
    """The group's quota; an individual enrollment has none."""
    settings = enrollment.settings
    members = settings.get(QUOTA)
    if members is None and ALLOWED_ONLY not in settings:
        return NO_QUOTA
    members = members or {}
    return Quota(
        members.get("maxRegistrations"),
        members.get("registrationsPerMinute"),
        settings.get(ALLOWED_ONLY) is True,
    )
