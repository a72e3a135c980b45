"""What a group's settings say of its size and pace."""

from __future__ import annotations

from typing import Any

import pytest

from accredit.domain.quota import NO_QUOTA, Quota, quota_of
from support import stored_values as some


@pytest.mark.parametrize(
    ("settings", "quota"),
    [
        ({}, NO_QUOTA),
        ({"quota": {"maxRegistrations": 5}}, Quota(max_registrations=5)),
        ({"quota": {"registrationsPerMinute": 60}}, Quota(registrations_per_minute=60)),
        ({"allowedRegistrationIdsOnly": True}, Quota(allowed_only=True)),
        ({"allowedRegistrationIdsOnly": False}, NO_QUOTA),
        ({"quota": {"maxRegistrations": 5}, "allowedRegistrationIdsOnly": True}, Quota(5, None, True)),
    ],
)
def test_what_is_not_said_is_no_limit(settings: dict[str, Any], quota: Quota) -> None:
    assert quota_of(some.group(settings=settings)) == quota


def test_an_individual_enrollment_has_none() -> None:
    assert quota_of(some.enrollment()) == NO_QUOTA
