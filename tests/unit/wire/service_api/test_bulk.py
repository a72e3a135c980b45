"""The body of a bulk call, and its verdicts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import Conflict, Malformed
from accredit.domain.ids import GroupId, RegistrationId
from accredit.wire.service_api.bulk import MAX_ITEMS, BulkItem, BulkMode, bulk_document, read_bulk
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.etags import NO_CONDITION, IfMatch

INDIVIDUAL, GROUP = EnrollmentKind.INDIVIDUAL, EnrollmentKind.GROUP


def test_each_document_is_handed_on_as_it_was_sent() -> None:
    body = b'{"mode":"create","enrollments":[{"registrationId":"A", "x":1},{"registrationId":"b","etag":"\\"e\\""}]}'
    sent = read_bulk(body, INDIVIDUAL)
    assert sent.mode is BulkMode.CREATE
    assert sent.items == (
        BulkItem(RegistrationId.parse("A"), NO_CONDITION, b'{"registrationId":"A", "x":1}'),
        BulkItem(RegistrationId.parse("b"), IfMatch("e"), b'{"registrationId":"b","etag":"\\"e\\""}'),
    )


def test_groups() -> None:
    body = write({"mode": "delete", "enrollmentGroups": [{"enrollmentGroupId": "Line"}]})
    sent = read_bulk(body, GROUP)
    assert (sent.mode, [item.id for item in sent.items]) == (BulkMode.DELETE, [GroupId.parse("line")])


@pytest.mark.parametrize("mode", BulkMode)
def test_modes_in_any_case(mode: BulkMode) -> None:
    assert read_bulk(write({"mode": mode.value.upper(), "enrollments": []}), INDIVIDUAL).mode is mode


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"mode": "replace", "enrollments": []}, "bulk-mode"),
        ({"mode": "create"}, "bulk-items"),
        ({"mode": "create", "enrollmentGroups": []}, "bulk-items"),
        ({"mode": "create", "enrollments": [{"enrollmentGroupId": "a"}]}, "bulk-items"),
        (
            {"mode": "create", "enrollments": [{"registrationId": f"d-{n}"} for n in range(MAX_ITEMS + 1)]},
            "bulk-items",
        ),
        ({"mode": "create", "enrollments": [{"registrationId": "no id"}]}, "id-grammar"),
        ({"mode": "create", "enrollments": ["a"]}, "document-invalid"),
        ({"enrollments": []}, "document-invalid"),
    ],
    ids=str,
)
def test_what_is_none(document: dict[str, Any], rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_bulk(write(document), INDIVIDUAL)
    assert refused.value.rule == rule


def test_the_place_of_a_group_without_its_id_is_named() -> None:
    body = write(
        {"mode": "create", "enrollmentGroups": [{"enrollmentGroupId": "a"}, {"registrationId": "b"}]}
    )
    with pytest.raises(Malformed) as refused:
        read_bulk(body, GROUP)
    assert refused.value.message == "enrollmentGroups[1] has no enrollmentGroupId."


def test_a_verdict_for_each_that_failed() -> None:
    device = BulkItem(RegistrationId.parse("Dev-1"), NO_CONDITION, b"")
    line = BulkItem(GroupId.parse("Line"), NO_CONDITION, b"")
    there = Conflict("It exists already.", rule="enrollment-exists")
    advised = Conflict("It exists already.", rule="enrollment-exists", hint="choose another id")
    assert bulk_document([]) == {"isSuccessful": True, "errors": []}
    assert bulk_document([(device, there), (line, advised)]) == {
        "isSuccessful": False,
        "errors": [
            {"registrationId": "Dev-1", "errorCode": 409001, "errorStatus": "It exists already."},
            {
                "enrollmentGroupId": "Line",
                "errorCode": 409001,
                "errorStatus": "It exists already: choose another id.",
            },
        ],
    }


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none()
        | st.booleans()
        | st.text(max_size=4)
        | st.sampled_from(["create", "registrationId", "etag"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["mode", "enrollments", "registrationId", "etag", "x"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
@settings(deadline=None)
def test_only_malformed_leaves(body: bytes) -> None:
    try:
        sent = read_bulk(body, INDIVIDUAL)
    except Malformed:
        return
    assert len(sent.items) <= MAX_ITEMS
