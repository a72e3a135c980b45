"""DeviceRegistrationState documents of the service API, and the body of our `move` (an extension)."""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Malformed
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.registration import Registration
from accredit.domain.setback import Setbacks
from accredit.wire.instants import iso
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.etags import quoted


class MoveDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The body of a move: one of the two."""

    enrollment_group_id: str | None = None
    individual: bool | None = None


def read_move(body: bytes, registration_id: RegistrationId) -> EnrollmentRef:
    """Which enrollment the registration is handed to: a group, or the individual one of its own id."""
    document = read(body, MoveDocument)
    if (document.enrollment_group_id is not None) is (document.individual is True):
        raise Malformed(
            'The body is not {"enrollmentGroupId": "..."} or {"individual": true}.', rule="move-target"
        )
    if document.enrollment_group_id is not None:
        return EnrollmentRef(EnrollmentKind.GROUP, GroupId.parse(document.enrollment_group_id).key)
    return EnrollmentRef(EnrollmentKind.INDIVIDUAL, registration_id.key)


def registration_document(registration: Registration, setbacks: Setbacks | None = None) -> dict[str, Any]:
    """As answers show it; members without a value are left out.

    `enrollmentGroupId` (whose device it is) and `setbacks` (how often it failed in a row after its proof) are ours.
    """
    owner = registration.enrollment
    members = {
        "registrationId": registration.registration_id.text,
        "createdDateTimeUtc": iso(registration.created_at),
        "assignedHub": registration.hub,
        "deviceId": registration.device_id.text,
        "status": registration.status.value,
        "substatus": registration.substatus.value if registration.substatus else None,
        "errorCode": registration.error_code,
        "errorMessage": registration.error_message,
        "lastUpdatedDateTimeUtc": iso(registration.updated_at),
        "etag": quoted(registration.etag),
        "payload": msgspec.Raw(registration.payload) if registration.payload is not None else None,
        "enrollmentGroupId": owner.key if owner.kind is EnrollmentKind.GROUP else None,
        "setbacks": None if setbacks is None else _setbacks_document(setbacks),
    }
    return {member: value for member, value in members.items() if value is not None}


def _setbacks_document(setbacks: Setbacks) -> dict[str, Any]:
    """`trackingId` names the decision trace of the last failure; `pausedDateTimeUtc` is there while the device is paused."""
    paused = {} if setbacks.paused_at is None else {"pausedDateTimeUtc": iso(setbacks.paused_at)}
    return {
        "failures": setbacks.failures,
        "rule": setbacks.rule,
        "reason": setbacks.reason,
        "trackingId": setbacks.tracking_id,
        "firstDateTimeUtc": iso(setbacks.first_at),
        "lastDateTimeUtc": iso(setbacks.last_at),
        **paused,
    }
