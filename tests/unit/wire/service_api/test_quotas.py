"""`quota` and `allowedRegistrationIdsOnly`, as they are sent and as they are kept."""

from __future__ import annotations

from typing import Any

import pytest

from accredit.domain.errors import Malformed
from accredit.domain.quota import Quota, quota_of
from accredit.wire.service_api.quotas import MAX_QUOTA, QuotaDocument, quota_settings
from support import stored_values as some


@pytest.mark.parametrize(
    ("document", "allowed_only", "quota"),
    [
        (None, None, Quota()),
        (QuotaDocument(), False, Quota()),
        (QuotaDocument(1), None, Quota(1)),
        (QuotaDocument(None, MAX_QUOTA), None, Quota(None, MAX_QUOTA)),
        (QuotaDocument(5, 60), True, Quota(5, 60, allowed_only=True)),
    ],
)
def test_what_is_kept_is_what_was_sent(
    document: QuotaDocument | None, allowed_only: bool | None, quota: Quota
) -> None:
    settings = quota_settings(document, allowed_only=allowed_only, individual=False)
    assert quota_of(some.group(settings=settings)) == quota
    assert (settings == {}) is (quota == Quota())


@pytest.mark.parametrize("number", [0, -1, MAX_QUOTA + 1])
@pytest.mark.parametrize("member", ["max_registrations", "registrations_per_minute"])
def test_what_is_no_limit(member: str, number: int) -> None:
    with pytest.raises(Malformed) as refused:
        quota_settings(QuotaDocument(**{member: number}), allowed_only=None, individual=False)
    assert refused.value.rule == "quota"


@pytest.mark.parametrize(
    "sent", [{"quota": QuotaDocument(), "allowed_only": None}, {"quota": None, "allowed_only": True}]
)
def test_an_individual_enrollment_has_none(sent: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as refused:
        quota_settings(**sent, individual=True)
    assert refused.value.rule == "quota"
    assert quota_settings(None, allowed_only=False, individual=True) == {}
