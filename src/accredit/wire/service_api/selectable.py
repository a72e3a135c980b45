"""The members that queries may name, of each listing, and how each compares.

Ids, hubs and the words of enumerations compare without regard to case, as they do everywhere; instants by time, with
or without a fraction; below `initialTwin` and `optionalDeviceInformation` any member may be named, and its own type
decides. A query of a list (`iotHubs`) holds when any of its values does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from accredit.domain.enrollment import (
    Attestation,
    CaReferences,
    EnrollmentKind,
    LeafCertificates,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.values import dataclass
from accredit.wire.service_api.query_language import And, Comparison, Condition, Field, Fields, Literal, Or

_LAST = "\x7f"
"""Behind every character that an id may hold."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Ids from `low` to `high`, both within; what is outside can't be selected."""

    low: str = ""
    high: str = _LAST

    @property
    def everything(self) -> bool:
        return self == Keys()


def enrollment_fields(kind: EnrollmentKind) -> Fields:
    """Of `enrollments` or `enrollmentGroups`."""
    own = _INDIVIDUAL if kind is EnrollmentKind.INDIVIDUAL else _GROUP
    return lambda name: own.get(name.lower()) or _inside(name)


def registration_fields(name: str) -> Field | None:
    """Of `registrations`."""
    return _REGISTRATION.get(name.lower())


def keys_of(condition: Condition | None, name: str) -> Keys:
    """Between which ids everything lies that the condition can select; `name` is the member that holds the id."""
    match condition:
        case And(parts):
            each = [keys_of(part, name) for part in parts]
            return Keys(max(keys.low for keys in each), min(keys.high for keys in each))
        case Or(parts):
            each = [keys_of(part, name) for part in parts]
            return Keys(min(keys.low for keys in each), max(keys.high for keys in each))
        case Comparison(field, operator, value) if field.name == name and value is not None:
            return _bounds(operator, value)
        case _:
            return Keys()


def wanted_value(condition: Condition | None, name: str) -> Any:
    """The one value that this member must have to be selected; None where that can't be told."""
    match condition:
        case Comparison(field, "=", value) if field.name == name:
            return value
        case And(parts):
            return next((value for part in parts if (value := wanted_value(part, name)) is not None), None)
        case _:
            return None


def _bounds(operator: str, value: Any) -> Keys:
    match operator:
        case "=":
            return Keys(value, value)
        case "<" | "<=":
            return Keys(high=value)
        case ">" | ">=":
            return Keys(low=value)
        case "startswith":
            return Keys(value, value + _LAST)
        case "in" if all(isinstance(each, str) for each in value):
            return Keys(min(value), max(value))
        case _:
            return Keys()


# What a literal must be.


def _text(value: Literal) -> str:
    if not isinstance(value, str):
        raise ValueError("a text in quotes")  # noqa: TRY004 - the reader of literals takes ValueError alone
    return value


def _word(value: Literal) -> str:
    return _text(value).lower()


def _etag(value: Literal) -> str:
    return _text(value).strip('"')


def _flag(value: Literal) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - as above
    return value


def _number(value: Literal) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")  # noqa: TRY004 - as above
    return value


def _instant(value: Literal) -> float:
    try:
        # Azure writes seven digits of a fraction, Python reads six.
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", _text(value)))
    except ValueError:
        raise ValueError("an instant such as '2026-01-31T12:00:00Z'") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _anything(value: Literal) -> Literal:
    return value


def _table(*rows: tuple[str, Callable[[Any], Any], Callable[[Literal], Any]]) -> Mapping[str, Field]:
    return {name.lower(): Field(name, of, read) for name, of, read in rows}


MECHANISMS: Mapping[type[Attestation], str] = {
    SymmetricKeys: "symmetrickey",
    LeafCertificates: "x509",
    SigningCertificates: "x509",
    CaReferences: "x509",
    TpmKeys: "tpm",
}
"""`attestation.type` without regard to case."""


_ENROLLMENT: Iterable[tuple[str, Callable[[Any], Any], Callable[[Literal], Any]]] = (
    ("attestation.type", lambda one: MECHANISMS[type(one.attestation)], _word),
    ("provisioningStatus", lambda one: "enabled" if one.enabled else "disabled", _word),
    ("allocationPolicy", lambda one: one.allocation_policy.lower(), _word),
    ("iotHubs", lambda one: tuple(hub.lower() for hub in one.hubs), _word),
    ("iotHubHostName", lambda one: _lower(one.settings.get("iotHubHostName")), _word),
    ("capabilities.iotEdge", lambda one: one.iot_edge, _flag),
    ("reprovisionPolicy.updateHubAssignment", lambda one: one.reprovision.update_hub_assignment, _flag),
    ("reprovisionPolicy.migrateDeviceData", lambda one: one.reprovision.migrate_device_data, _flag),
    (
        "clientCertificateIssuancePolicy.certificateAuthorityName",
        lambda one: one.authority.key if one.authority else None,
        _word,
    ),
    ("trustBundleId", lambda one: _lower(one.settings.get("trustBundleId")), _word),
    ("credentialPolicyName", lambda one: _lower(one.settings.get("credentialPolicyName")), _word),
    ("etag", lambda one: one.etag, _etag),
    ("createdDateTimeUtc", lambda one: one.created_at, _instant),
    ("lastUpdatedDateTimeUtc", lambda one: one.updated_at, _instant),
)

_INDIVIDUAL = _table(
    ("registrationId", lambda one: one.id.key, _word),
    ("deviceId", lambda one: one.device_id.text if one.device_id else None, _text),
    *_ENROLLMENT,
)
_GROUP = _table(
    ("enrollmentGroupId", lambda one: one.id.key, _word),
    ("idPattern", lambda one: one.settings.get("idPattern"), _text),
    *_ENROLLMENT,
)
_REGISTRATION = _table(
    ("registrationId", lambda one: one.registration_id.key, _word),
    ("deviceId", lambda one: one.device_id.text, _text),
    (
        "enrollmentGroupId",
        lambda one: one.enrollment.key if one.enrollment.kind is EnrollmentKind.GROUP else None,
        _word,
    ),
    ("assignedHub", lambda one: _lower(one.hub), _word),
    ("status", lambda one: one.status.value.lower(), _word),
    ("substatus", lambda one: one.substatus.value.lower() if one.substatus else None, _word),
    ("errorCode", lambda one: one.error_code, _number),
    ("errorMessage", lambda one: one.error_message, _text),
    ("etag", lambda one: one.etag, _etag),
    ("createdDateTimeUtc", lambda one: one.created_at, _instant),
    ("lastUpdatedDateTimeUtc", lambda one: one.updated_at, _instant),
)


def _lower(text: str | None) -> str | None:
    return text.lower() if text is not None else None


def _inside(name: str) -> Field | None:
    """A member of a free-form document: `initialTwin.tags.site`."""
    first, *steps = name.split(".")
    if not steps:
        return None
    if first.lower() == "initialtwin":
        return Field(name, lambda one: _walk(one.initial_twin, steps), _anything)
    if first.lower() == "optionaldeviceinformation":
        return Field(name, lambda one: _walk(one.settings.get("optionalDeviceInformation"), steps), _anything)
    return None


def _walk(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return tuple(value) if isinstance(value, list) else value
