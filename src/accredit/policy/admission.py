"""May this attested device register now, and as what: switched on, and whose registration it is."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.changes import AssertRoom
from accredit.domain.enrollment import Enrollment, EnrollmentKind
from accredit.domain.errors import Disabled, Malformed, Refused, Unauthenticated
from accredit.domain.evidence import Attested
from accredit.domain.id_pattern import id_pattern
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.quota import quota_of
from accredit.domain.registration import Registration, Status


def open_to(registration_id: RegistrationId, groups: Sequence[Enrollment]) -> Sequence[Enrollment]:
    """The groups that a device of this id may prove: a group with an `idPattern` has only ids that match it whole."""
    return [group for group in groups if _has(group, registration_id)]


def _has(group: Enrollment, registration_id: RegistrationId) -> bool:
    pattern = group.settings.get("idPattern")
    if pattern is None:
        return True
    try:
        return id_pattern(pattern).fullmatch(registration_id.key) is not None
    except Malformed:  # stored when other forms were allowed: it describes nobody
        return False


def admit(attested: Attested, previous: Registration | None) -> None:
    """Raises Unauthenticated when another enrollment owns the registration, Disabled when this one is switched off."""
    check_owner(attested, previous)
    enrollment = attested.enrollment
    if not enrollment.enabled:
        raise Disabled(
            "The enrollment is disabled.",
            rule="enrollment-disabled",
            hint="set provisioningStatus to enabled to let it register",
            evidence=f"{enrollment.kind} enrollment {enrollment.id}",
        )
    if is_revoked(previous):
        assert previous is not None
        raise Disabled(
            "The device was revoked.",
            rule="device-revoked",
            hint=f"`accredit device readmit {attested.registration_id}` lets it register anew, with a new key",
            evidence=previous.error_message or "",
        )


def is_revoked(registration: Registration | None) -> bool:
    """A revocation leaves its registration disabled, until the device is let in again."""
    return registration is not None and registration.status is Status.DISABLED


def check_owner(attested: Attested, previous: Registration | None) -> None:
    """An individual enrollment may always take its registration id; a group only what is its own or nobody's."""
    enrollment = attested.enrollment
    if (
        previous is None
        or previous.enrollment == enrollment.ref
        or enrollment.kind is EnrollmentKind.INDIVIDUAL
    ):
        return
    owner = previous.enrollment
    raise Unauthenticated(
        "Unauthorized",
        rule="registration-of-another-enrollment",
        hint=f"`accredit device move {attested.registration_id} --group {enrollment.id}` hands it over; "
        "deleting the registration or enrolling the device individually lets it in too",
        evidence=f"proven by group {enrollment.id}, but the registration belongs to {owner.kind} {owner.key}",
    )


def check_allowed(attested: Attested, *, on_list: bool) -> None:
    """Raises Refused for a device that its group's list does not name."""
    if not on_list:
        group = attested.enrollment.id
        raise Refused(
            "The device is not on the list of its enrollment group.",
            rule="device-not-allowed",
            hint=f"`accredit enroll allow {group} {attested.registration_id}` puts it there",
            evidence=f"group {group} takes only the registration ids of its list",
        )


def room(attested: Attested, previous: Registration | None) -> tuple[AssertRoom, ...]:
    """What the unit must find that makes this device one more of its group; a device that is its own takes no room."""
    enrollment = attested.enrollment
    most = quota_of(enrollment).max_registrations
    if most is None or (previous is not None and previous.enrollment == enrollment.ref):
        return ()
    return (AssertRoom(enrollment.ref, most),)


def registration_id(attested: Attested, previous: Registration | None) -> RegistrationId:
    """The spelling that is kept: the individual enrollment's, else the first one a group's device used."""
    enrollment_id = attested.enrollment.id
    if isinstance(enrollment_id, RegistrationId):
        return enrollment_id
    return attested.registration_id if previous is None else previous.registration_id


def device_id(enrollment: Enrollment, registration_id: RegistrationId) -> DeviceId:
    """An individual enrollment's `deviceId`, else the registration id (Azure docs, *concepts-service*)."""
    return enrollment.device_id or DeviceId(registration_id.text)
