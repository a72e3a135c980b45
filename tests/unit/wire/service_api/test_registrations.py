"""Registrations as answers show them, and where one may be moved to."""

from __future__ import annotations

import json

import pytest

from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Malformed
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Status
from accredit.domain.setback import Setbacks
from accredit.values import replace
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.registrations import read_move, registration_document
from support import stored_values as some

DEV = RegistrationId.parse("Dev-1")


def test_move_to_a_group() -> None:
    assert str(read_move(b'{"enrollmentGroupId":"Line-2"}', DEV).key) == "line-2"


def test_move_to_the_individual_enrollment() -> None:
    assert read_move(b'{"individual":true}', DEV).key == "dev-1"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"individual":false}',
        b'{"individual":true,"enrollmentGroupId":"a"}',
        b'{"enrollmentGroupId":"a b"}',
        b'{"group":"a"}',
        b"",
    ],
)
def test_moves_to_nowhere(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_move(body, DEV)


class TestShown:
    assigned = some.registration("Pump-1", payload=b'{"a": 1}')
    setbacks = Setbacks(assigned.registration_id, assigned.enrollment, "e1", 3, "csr-signature", "It proves nothing.",
                        "t-3", some.NOW, some.NOW + 9)  # fmt: skip

    def test_an_assigned_device_of_a_group(self) -> None:
        assert json.loads(write(registration_document(self.assigned))) == {
            "registrationId": "Pump-1",
            "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
            "assignedHub": "localhost",
            "deviceId": "Pump-1",
            "status": "assigned",
            "substatus": "initialAssignment",
            "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
            "etag": '"r1"',
            "payload": {"a": 1},
            "enrollmentGroupId": "fleet",
        }

    def test_a_failed_one_without_a_hub(self) -> None:
        failed = replace(
            self.assigned, hub=None, status=Status.FAILED, substatus=None, error_code=400004,
            error_message="No.", payload=None, enrollment=EnrollmentRef(EnrollmentKind.INDIVIDUAL, "pump-1"),
        )  # fmt: skip
        shown = registration_document(failed)
        assert (shown["status"], shown["errorCode"], shown["errorMessage"]) == ("failed", 400004, "No.")
        assert shown.keys().isdisjoint({"assignedHub", "substatus", "payload", "enrollmentGroupId"})

    def test_setbacks(self) -> None:
        shown = registration_document(self.assigned, self.setbacks)["setbacks"]
        assert shown == {
            "failures": 3,
            "rule": "csr-signature",
            "reason": "It proves nothing.",
            "trackingId": "t-3",
            "firstDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
            "lastDateTimeUtc": "2027-01-15T08:00:09.0000000Z",
        }

    def test_a_paused_device(self) -> None:
        paused = replace(self.setbacks, paused_at=some.NOW + 9)
        shown = registration_document(self.assigned, paused)["setbacks"]
        assert shown["pausedDateTimeUtc"] == shown["lastDateTimeUtc"]
