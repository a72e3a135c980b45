"""A proven device whose registrations fail one after the other, and may be paused for it."""

from __future__ import annotations

from accredit.domain.enrollment import EnrollmentRef
from accredit.domain.ids import RegistrationId
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Setbacks:
    """`failures` in a row, the last by `rule`; while `enrollment_etag` is the enrollment's, and not longer, they count.

    `tracking_id` names the last one's decision trace. `paused_at` is None while the device may still try.
    """

    registration_id: RegistrationId
    enrollment: EnrollmentRef
    enrollment_etag: str
    failures: int
    rule: str
    reason: str
    tracking_id: str
    first_at: int
    last_at: int
    paused_at: int | None = None
