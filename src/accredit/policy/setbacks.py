"""When a proven device that never gets through is paused: so many failures in a row that are its own, or the CA's no to it.

What an operator has to put right for all devices does not count: a CA, a webhook or a hub that is down or badly configured
must not leave a fleet paused behind it. A changed enrollment is a new try: its etag is part of the count.
"""

from __future__ import annotations

from accredit.domain.enrollment import Enrollment
from accredit.domain.errors import AccreditError, Malformed, Refused, Throttled, UpstreamRejected
from accredit.domain.ids import RegistrationId
from accredit.domain.setback import Setbacks
from accredit.values import replace

PAUSED_RETRY_S = 300
"""What a paused device is told to wait. The C SDK clamps to this; with 429 the SDKs of Python, Node and C come back by
themselves, so that a device is in again soon after it is resumed, and nobody has to visit it."""

_COUNTED_KINDS = (Malformed, Refused, UpstreamRejected)
_NOT_THE_DEVICES = frozenset(
    {
        "authority-changed",
        "ca-credentials",
        "ca-egress-refused",
        "ca-expired",
        "ca-settings",
        "ca-timeout",
        "ca-untrusted-chain",
        "changed-meanwhile",
        "device-not-allowed",
        "group-full",
        "hub-answer",
        "hub-egress-refused",
        "hub-refused",
        "hub-timeout",
        "no-hub",
        "webhook-answer",
        "webhook-egress-refused",
        "webhook-hub",
        "webhook-refused",
        "webhook-silent",
    }
)


def counts(refusal: AccreditError) -> bool:
    """Whether this failure after the proof is the device's own."""
    return isinstance(refusal, _COUNTED_KINDS) and refusal.rule not in _NOT_THE_DEVICES


def standing(known: Setbacks | None, enrollment: Enrollment) -> Setbacks | None:
    """The setbacks that still count: under the enrollment as it is now."""
    if known is None or known.enrollment != enrollment.ref or known.enrollment_etag != enrollment.etag:
        return None
    return known


def after(
    refusal: AccreditError,
    known: Setbacks | None,
    enrollment: Enrollment,
    registration_id: RegistrationId,
    tracking_id: str,
    now: int,
    most: int,
) -> Setbacks | None:
    """The device's setbacks after one more failure, paused at `most` (0: never); None where it does not count."""
    if not most or not counts(refusal):
        return None
    known = standing(known, enrollment)
    failures = 1 if known is None else known.failures + 1
    first = Setbacks(
        registration_id, enrollment.ref, enrollment.etag, failures, refusal.rule, refusal.message,
        tracking_id, first_at=now, last_at=now,
    )  # fmt: skip
    made = first if known is None else replace(first, first_at=known.first_at, paused_at=known.paused_at)
    if failures >= most and made.paused_at is None:
        return replace(made, paused_at=now)
    return made


def check_not_paused(known: Setbacks | None, enrollment: Enrollment) -> None:
    """Raises Throttled for a paused device."""
    setbacks = standing(known, enrollment)
    if setbacks is None or setbacks.paused_at is None:
        return
    raise Throttled(
        "The device is paused.",
        rule="device-paused",
        retry_after_s=PAUSED_RETRY_S,
        evidence=f"{setbacks.failures} registrations in a row failed, the last by {setbacks.rule}: {setbacks.reason}",
        hint=f"`accredit explain {setbacks.tracking_id}` tells of the last one; put it right, then "
        f"`accredit device resume {setbacks.registration_id}` (a change of the enrollment resumes it too)",
    )
