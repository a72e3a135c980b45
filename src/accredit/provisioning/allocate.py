"""Allocate: the device's name, and the hub it is assigned to."""

from __future__ import annotations

from collections.abc import Collection

from accredit.domain.enrollment import Enrollment
from accredit.domain.errors import Refused, Unauthenticated
from accredit.domain.evidence import Attested
from accredit.domain.registration import Allocated, Operation, Registration
from accredit.policy import admission


def allocate(attested: Attested, previous: Registration | None, hubs: Collection[str]) -> Allocated:
    """`hubs` are the names of the linked hubs. Raises Refused when the enrollment names none of them."""
    enrollment = attested.enrollment
    # Azure: a device whose hub is no longer linked is assigned as a new one.
    at_hub = None if previous is None or previous.hub not in hubs else previous
    hub = _hub(enrollment, at_hub, hubs)
    registration_id = admission.registration_id(attested, previous)
    return Allocated(
        attested=attested,
        registration_id=registration_id,
        previous=previous,
        device_id=admission.device_id(enrollment, registration_id),
        hub=hub,
        substatus=admission.substatus(enrollment, at_hub, hub),
    )


def _hub(enrollment: Enrollment, at_hub: Registration | None, hubs: Collection[str]) -> str:
    if at_hub is not None and at_hub.hub is not None and not enrollment.reprovision.update_hub_assignment:
        return at_hub.hub
    for name in hubs:
        if not enrollment.hubs or name in enrollment.hubs:
            return name
    raise Refused(
        "No linked hub is left for this enrollment.",
        rule="no-hub",
        hint=f"iotHubs names {', '.join(enrollment.hubs)}; linked is {', '.join(hubs) or 'none'}",
    )


def still_allocated(
    operation: Operation, attested: Attested, previous: Registration | None, hubs: Collection[str]
) -> Allocated:
    """What was allocated when the intent was written. Raises Refused when something that it rested on has changed."""
    enrollment = attested.enrollment
    if enrollment.etag != operation.enrollment_etag or not enrollment.enabled or operation.hub not in hubs:
        raise changed_meanwhile()
    try:
        admission.check_owner(attested, previous)
    except Unauthenticated as error:
        raise changed_meanwhile() from error
    return Allocated(
        attested=attested,
        registration_id=operation.registration_id,
        previous=previous,
        device_id=operation.device_id,
        hub=operation.hub,
        substatus=operation.substatus,
    )


def changed_meanwhile() -> Refused:
    return Refused("The enrollment was changed meanwhile; register again.", rule="changed-meanwhile")
