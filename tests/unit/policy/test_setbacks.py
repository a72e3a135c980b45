"""Which failures count against a device, and when it is paused."""

from __future__ import annotations

import pytest

from accredit.domain.enrollment import Enrollment, SymmetricKeys
from accredit.domain.errors import (
    Disabled,
    Malformed,
    Refused,
    Throttled,
    Unauthenticated,
    UpstreamRejected,
    UpstreamUnavailable,
)
from accredit.domain.ids import RegistrationId
from accredit.domain.secret import Secret
from accredit.policy import setbacks
from accredit.values import replace
from accredit.wire.rules import RULES

DEVICE = RegistrationId.parse("dev-1")
KEYS = SymmetricKeys(Secret(b"p" * 32), Secret(b"s" * 32))
ENROLLMENT = Enrollment(DEVICE, KEYS, "g", "e1", 1, 1)
NO = UpstreamRejected("The CA turned the request down.", rule="ca-refused")


def failed(times, refusal=NO, most=3, known=None, enrollment=ENROLLMENT):
    for number in range(times):
        known = setbacks.after(refusal, known, enrollment, DEVICE, f"t-{number}", 100 + number, most)
    return known


@pytest.mark.parametrize(
    ("refusal", "counted"),
    [
        (NO, True),
        (Malformed("No.", rule="csr-signature"), True),
        (Refused("No.", rule="key-revoked"), True),
        (Refused("No.", rule="device-id-taken"), True),
        (Refused("No.", rule="no-hub"), False),
        (Refused("No.", rule="group-full"), False),
        (UpstreamRejected("No.", rule="ca-timeout"), False),
        (UpstreamRejected("No.", rule="ca-credentials"), False),
        (UpstreamRejected("No.", rule="webhook-silent"), False),
        (UpstreamRejected("No.", rule="hub-timeout"), False),
        (Refused("No.", rule="registration-denied"), True),
        (UpstreamUnavailable("No.", rule="ca-unavailable", retry_after_s=5), False),
        (Throttled("No.", rule="device-throttled", retry_after_s=5), False),
        (Unauthenticated("No.", rule="sas-signature"), False),
        (Disabled("No.", rule="enrollment-disabled"), False),
    ],
)
def test_what_counts(refusal, counted):
    assert setbacks.counts(refusal) is counted


def test_the_exceptions_are_rules():
    assert set(RULES) >= setbacks._NOT_THE_DEVICES


def test_so_many_in_a_row_pause():
    assert failed(2).paused_at is None
    paused = failed(3)
    assert (paused.failures, paused.paused_at, paused.first_at, paused.last_at) == (3, 102, 100, 102)
    assert (paused.rule, paused.tracking_id) == ("ca-refused", "t-2")
    assert failed(5).paused_at == 102


def test_zero_never_pauses():
    assert failed(50, most=0) is None


def test_a_changed_enrollment_begins_anew():
    changed = replace(ENROLLMENT, etag="e2")
    again = failed(1, known=failed(3), enrollment=changed)
    assert (again.failures, again.paused_at) == (1, None)
    setbacks.check_not_paused(failed(3), changed)


def test_what_a_paused_device_is_told():
    setbacks.check_not_paused(None, ENROLLMENT)
    setbacks.check_not_paused(failed(2), ENROLLMENT)
    with pytest.raises(Throttled) as refused:
        setbacks.check_not_paused(failed(3), ENROLLMENT)
    assert (refused.value.rule, refused.value.retry_after_s) == ("device-paused", 300)
    assert "3 registrations in a row failed, the last by ca-refused" in refused.value.evidence
    assert "accredit explain t-2" in refused.value.hint
    assert "accredit device resume dev-1" in refused.value.hint
