"""Allocate: the device's name, and the hub it is assigned to."""

from __future__ import annotations

from collections.abc import Mapping

from accredit.domain.errors import Refused
from accredit.domain.evidence import Attested
from accredit.domain.registration import Allocated, Registration
from accredit.interfaces import Hub
from accredit.policy import admission


def allocate(attested: Attested, previous: Registration | None, hubs: Mapping[str, Hub]) -> Allocated:
    """Raises Refused when the enrollment names no linked hub."""
    enrollment = attested.enrollment
    candidates = [name for name in hubs if not enrollment.hubs or name in enrollment.hubs]
    if not candidates:
        raise Refused(
            "No linked hub is left for this enrollment.",
            rule="no-hub",
            hint=f"iotHubs names {', '.join(enrollment.hubs)}; linked is {', '.join(hubs) or 'none'}",
        )
    hub = candidates[0]
    registration_id = admission.registration_id(attested, previous)
    return Allocated(
        attested=attested,
        registration_id=registration_id,
        previous=previous,
        device_id=admission.device_id(enrollment, registration_id),
        hub=hub,
        substatus=admission.substatus(enrollment, previous, hub),
    )
