"""Which members queries may name, how each compares, and what is told of the ids that can be selected."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.enrollment import Attestation, EnrollmentKind
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId, GroupId, RegistrationId
from accredit.values import replace
from accredit.wire.service_api.query_language import parse
from accredit.wire.service_api.selectable import (
    MECHANISMS,
    Keys,
    enrollment_fields,
    keys_of,
    registration_fields,
    wanted_value,
)
from support import stored_values as some

ENROLLMENT = replace(
    some.enrollment("Dev-1"),
    id=RegistrationId.parse("Dev-1"),
    device_id=DeviceId("Lamp"),
    hubs=("Hub-A.example",),
    initial_twin={"tags": {"site": "Berlin", "floor": 3, "rooms": ["a", "b"]}},
    settings={"optionalDeviceInformation": {"model": "x"}},
    created_at=1_700_000_000,
    etag="e1",
)


def enrolled(where: str, row: Any = ENROLLMENT, kind: EnrollmentKind = EnrollmentKind.INDIVIDUAL) -> bool:
    source = "enrollments" if kind is EnrollmentKind.INDIVIDUAL else "enrollmentGroups"
    condition = parse(f"SELECT * FROM {source} WHERE {where}", source, enrollment_fields(kind))
    assert condition is not None
    return condition.selects(row)


@pytest.mark.parametrize(
    "where",
    [
        "registrationId = 'DEV-1'",
        "registrationid = 'dev-1'",
        "STARTSWITH(registrationId, 'DEV')",
        "deviceId = 'Lamp'",
        "deviceId != 'lamp'",
        "attestation.type = 'symmetricKey'",
        "provisioningStatus = 'enabled'",
        "provisioningStatus = 'Enabled' AND NOT provisioningStatus = 'disabled'",
        "allocationPolicy = 'HASHED'",
        "iotHubs = 'hub-a.EXAMPLE'",
        "capabilities.iotEdge = false",
        "reprovisionPolicy.migrateDeviceData = true",
        "clientCertificateIssuancePolicy.certificateAuthorityName = null",
        "etag = '\"e1\"'",
        "etag = 'e1'",
        "createdDateTimeUtc = '2023-11-14T22:13:20Z'",
        "createdDateTimeUtc = '2023-11-14T22:13:20.0000000Z'",
        "createdDateTimeUtc < '2023-11-14T22:13:20.0001Z'",
        "createdDateTimeUtc >= '2023-11-14T23:13:20+01:00'",
        "createdDateTimeUtc > '2023-11-14'",
        "initialTwin.tags.site = 'Berlin'",
        "initialTwin.tags.floor > 2",
        "initialTwin.tags.rooms = 'b'",
        "initialTwin.tags.colour = null",
        "initialTwin.tags.site.street = null",
        "optionalDeviceInformation.model = 'x'",
    ],
)
def test_members_of_enrollments(where: str) -> None:
    assert enrolled(where)
    assert not enrolled(f"NOT ({where})")


@pytest.mark.parametrize(
    "where",
    [
        "enrollmentGroupId = 'x'",
        "initialTwin = 'x'",
        "createdDateTimeUtc = 'yesterday'",
        "STARTSWITH(createdDateTimeUtc, '2023-11-14T22:13:20Z')",
        "capabilities.iotEdge = 'false'",
        "attestation.symmetricKey.primaryKey = 'x'",
        "registrationId = 1",
    ],
)
def test_what_can_t_be_asked_of_enrollments(where: str) -> None:
    with pytest.raises(Malformed):
        enrolled(where)


def test_groups_have_their_own_id() -> None:
    group = replace(some.enrollment(), id=GroupId.parse("Fleet"), settings={"idPattern": "f.*"})
    assert enrolled("enrollmentGroupId = 'FLEET' AND idPattern = 'f.*'", group, EnrollmentKind.GROUP)


def test_every_mechanism_has_its_word() -> None:
    assert MECHANISMS.keys() == set(get_args(Attestation))


@pytest.mark.parametrize(
    "where",
    [
        "registrationId = 'LAMP-1'",
        "status = 'assigned'",
        "substatus = 'initialAssignment'",
        "assignedHub = 'HUB.example'",
        "enrollmentGroupId = 'FLEET'",
        "errorCode = null",
        "errorCode != 5",
        "NOT errorCode = 400208",
        "NOT errorCode > 5",
        "lastUpdatedDateTimeUtc > '2020-01-01T00:00:00Z'",
    ],
)
def test_members_of_registrations(where: str) -> None:
    row = replace(some.registration("Lamp-1"), hub="hub.example", enrollment=some.FLEET)
    condition = parse(f"SELECT * FROM registrations WHERE {where}", "registrations", registration_fields)
    assert condition is not None
    assert condition.selects(row)


@pytest.mark.parametrize("where", ["errorCode = 'five'", "errorCode = true", "enrollments = 1", "status = 1"])
def test_what_can_t_be_asked_of_registrations(where: str) -> None:
    with pytest.raises(Malformed):
        parse(f"SELECT * FROM registrations WHERE {where}", "registrations", registration_fields)


def _keys(where: str) -> Keys:
    query = f"SELECT * FROM registrations WHERE {where}"
    return keys_of(parse(query, "registrations", registration_fields), "registrationId")


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ("registrationId = 'B'", Keys("b", "b")),
        ("registrationId = 'B' AND status = 'assigned'", Keys("b", "b")),
        ("registrationId = 'B' OR status = 'assigned'", Keys()),
        ("STARTSWITH(registrationId, 'B')", Keys("b", "b\x7f")),
        ("registrationId >= 'b' AND registrationId < 'd'", Keys("b", "d")),
        ("registrationId IN ['d', 'b']", Keys("b", "d")),
        ("registrationId IN ['d', null]", Keys()),
        ("registrationId = 'a' OR registrationId = 'c'", Keys("a", "c")),
        ("NOT registrationId = 'a'", Keys()),
        ("ENDSWITH(registrationId, 'a')", Keys()),
        ("status = 'assigned'", Keys()),
    ],
)
def test_between_which_ids_all_lies(where: str, keys: Keys) -> None:
    assert _keys(where) == keys


IDS = st.text("ab-", min_size=1, max_size=3).map(lambda text: text + "1")
TESTS = st.one_of(
    st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), IDS).map(
        lambda pair: f"registrationId {pair[0]} '{pair[1]}'"
    ),
    IDS.map(lambda text: f"STARTSWITH(registrationId, '{text[:-1]}')"),
    st.lists(IDS, min_size=1, max_size=3).map(lambda ids: f"registrationId IN {ids}"),
    st.just("status = 'assigned'"),
)
WHERES = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        inner.map(lambda one: f"NOT ({one})"),
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=5,
)


@given(WHERES, IDS)
@settings(deadline=None)
def test_nothing_that_is_selected_lies_outside(where: str, name: str) -> None:
    row = some.registration(name)
    query = f"SELECT * FROM registrations WHERE {where}"
    condition = parse(query, "registrations", registration_fields)
    assert condition is not None
    keys = keys_of(condition, "registrationId")
    if condition.selects(row):
        assert keys.low <= name <= keys.high


def test_the_one_value_that_is_wanted() -> None:
    def wanted(where: str) -> Any:
        query = f"SELECT * FROM registrations WHERE {where}"
        return wanted_value(parse(query, "registrations", registration_fields), "enrollmentGroupId")

    assert wanted("enrollmentGroupId = 'G'") == "g"
    assert wanted("status = 'assigned' AND (enrollmentGroupId = 'G')") == "g"
    assert wanted("status = 'assigned' OR enrollmentGroupId = 'G'") is None
    assert wanted("enrollmentGroupId = null") is None
    assert wanted("NOT enrollmentGroupId = 'G'") is None


@pytest.mark.parametrize(
    ("keys", "everything"), [(Keys(), True), (Keys(low="a"), False), (Keys(high="a"), False)]
)
def test_only_without_an_end_it_is_everything(keys: Keys, everything: bool) -> None:
    assert keys.everything is everything
