"""Every row of what becomes of a device that registers again, and of its data."""

from __future__ import annotations

import itertools

import pytest

from accredit.domain.device import DeviceData
from accredit.domain.enrollment import (
    Enrollment,
    EnrollmentKind,
    EnrollmentRef,
    ReprovisionPolicy,
    SymmetricKeys,
)
from accredit.domain.ids import DeviceId, GroupId, RegistrationId
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.registration import DataFate, Registration, Status, Substatus
from accredit.domain.secret import Secret
from accredit.policy import reprovisioning
from accredit.policy.reprovisioning import Outcome

NOW = 1_800_000_000
HERE, THERE = "a.example", "b.example"
DEVICE = DeviceId("dev-1")
MIGRATE, RESET = ReprovisionPolicy(), ReprovisionPolicy(True, False)
NEVER, NEVER_AND_RESET = ReprovisionPolicy(False, True), ReprovisionPolicy(False, False)
LINKED = [LinkedHub(name, HubKind.EMBEDDED, "e", NOW, NOW) for name in (HERE, THERE)]


def registration(status=Status.ASSIGNED, hub: str | None = HERE) -> Registration:
    return Registration(
        registration_id=RegistrationId.parse("dev-1"),
        enrollment=EnrollmentRef(EnrollmentKind.GROUP, "line"),
        device_id=DEVICE,
        hub=hub,
        status=status,
        substatus=None,
        operation_id="o",
        etag="r",
        created_at=NOW,
        updated_at=NOW,
    )


def enrollment(policy: ReprovisionPolicy) -> Enrollment:
    keys = SymmetricKeys(Secret(b"p" * 32), Secret(b"s" * 32))
    return Enrollment(GroupId.parse("line"), keys, "g", "e", NOW, NOW, reprovision=policy)


AGAIN, MOVED = Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT, Substatus.DEVICE_DATA_MIGRATED
CLEARED = Substatus.DEVICE_DATA_RESET

TABLE = {
    (MIGRATE, HERE): Outcome(AGAIN, DataFate.STAYS),
    (MIGRATE, THERE): Outcome(MOVED, DataFate.MOVES),
    (RESET, HERE): Outcome(CLEARED, DataFate.INITIAL),
    (RESET, THERE): Outcome(CLEARED, DataFate.INITIAL),
    (NEVER, HERE): Outcome(AGAIN, DataFate.STAYS),
    (NEVER_AND_RESET, HERE): Outcome(AGAIN, DataFate.STAYS),
}


@pytest.mark.parametrize(("policy", "hub"), TABLE)
def test_of_a_device_that_is_assigned(policy, hub) -> None:
    assert reprovisioning.outcome(policy, registration(), DEVICE, hub) == TABLE[policy, hub]


@pytest.mark.parametrize(
    ("policy", "hub"), [*itertools.product((MIGRATE, RESET, NEVER, NEVER_AND_RESET), (HERE, THERE))]
)
def test_of_a_device_that_is_not(policy, hub) -> None:
    found = reprovisioning.outcome(policy, None, DEVICE, hub)
    assert found == Outcome(Substatus.INITIAL_ASSIGNMENT, DataFate.INITIAL)


def test_a_device_under_another_id_has_nothing_at_its_hub_yet() -> None:
    found = reprovisioning.outcome(MIGRATE, registration(), DeviceId("pump"), HERE)
    assert found == Outcome(AGAIN, DataFate.INITIAL)


class TestAtHub:
    def test_assigned_to_a_hub_that_is_linked(self):
        assert reprovisioning.at_hub(registration(), LINKED) == registration()

    @pytest.mark.parametrize("status", [status for status in Status if status is not Status.ASSIGNED])
    def test_not_assigned(self, status):
        assert reprovisioning.at_hub(registration(status), LINKED) is None

    @pytest.mark.parametrize("hub", [None, "gone.example"])
    def test_at_no_hub_or_one_that_is_no_longer_linked(self, hub):
        assert reprovisioning.at_hub(registration(hub=hub), LINKED) is None
        assert reprovisioning.at_hub(None, LINKED) is None


class TestPolicy:
    UNSTATED = ReprovisionPolicy(stated=False)

    @pytest.mark.parametrize(
        ("policy", "version", "updates"),
        [
            (UNSTATED, "2018-04-01", False),
            (UNSTATED, "2018-09-01-preview", True),
            (UNSTATED, "2019-03-31", True),
            (MIGRATE, "2018-04-01", True),
            (RESET, "2018-04-01", True),
            (NEVER, "2019-03-31", False),
        ],
    )
    def test_the_first_api_version_stays_where_nothing_is_stated(self, policy, version, updates):
        assert reprovisioning.policy(enrollment(policy), version).update_hub_assignment is updates

    @pytest.mark.parametrize(("policy", "resets"), [(MIGRATE, False), (RESET, True), (NEVER, False)])
    def test_where_a_hub_was_chosen_anew_the_data_s_half_holds(self, policy, resets):
        found = reprovisioning.chosen_anew(enrollment(policy))
        assert found.update_hub_assignment
        assert found.migrate_device_data is not resets


@pytest.mark.parametrize(
    ("twin", "data"),
    [
        (None, DeviceData()),
        ({}, DeviceData()),
        ({"tags": {"a": 1}}, DeviceData(tags={"a": 1})),
        ({"properties": {"desired": {"b": 2}}}, DeviceData(desired={"b": 2})),
        ({"tags": None, "properties": {"desired": None}}, DeviceData()),
        ({"tags": [], "properties": []}, DeviceData()),
    ],
)
def test_an_initial_twin_is_what_a_device_starts_with(twin, data) -> None:
    assert reprovisioning.initial(twin, iot_edge=False) == data
    assert reprovisioning.initial(twin, iot_edge=True).iot_edge
