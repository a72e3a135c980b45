"""Who may register, and as what."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.changes import AssertRoom
from accredit.domain.enrollment import (
    Enrollment,
    EnrollmentKind,
    EnrollmentRef,
    SymmetricKeys,
)
from accredit.domain.errors import Disabled, Refused, Unauthenticated
from accredit.domain.evidence import Attested, DeviceKeys
from accredit.domain.ids import DeviceId, GroupId, RegistrationId
from accredit.domain.registration import Registration, Status
from accredit.domain.secret import Secret
from accredit.policy import admission

NOW = 1_800_000_000
KEYS = SymmetricKeys(Secret(b"p" * 32), Secret(b"s" * 32))
DEVICE = RegistrationId.parse("Dev-1")


def enrollment(name="line", kind=EnrollmentKind.GROUP, **more):
    made = GroupId.parse(name) if kind is EnrollmentKind.GROUP else RegistrationId.parse(name)
    return Enrollment(made, KEYS, "g", "e", NOW, NOW, **more)


def individual(**more):
    return enrollment("dEV-1", EnrollmentKind.INDIVIDUAL, **more)


def attested(by, device=DEVICE):
    return Attested(device, by, DeviceKeys(KEYS.primary, KEYS.secondary))


def registration(owner=("group", "line"), status=Status.ASSIGNED, hub="a.example", text="DEV-1"):
    return Registration(
        registration_id=RegistrationId.parse(text),
        enrollment=EnrollmentRef(EnrollmentKind(owner[0]), owner[1]),
        device_id=DeviceId(text),
        hub=hub,
        status=status,
        substatus=None,
        operation_id="o",
        etag="r",
        created_at=NOW,
        updated_at=NOW,
    )


class TestOwner:
    @pytest.mark.parametrize(
        ("by", "owner", "may"),
        [
            (enrollment("line"), None, True),
            (enrollment("LINE"), ("group", "line"), True),
            (enrollment("line"), ("group", "other"), False),
            (enrollment("line"), ("individual", "dev-1"), False),
            (enrollment("dev-1"), ("individual", "dev-1"), False),
            (individual(), None, True),
            (individual(), ("individual", "dev-1"), True),
            (individual(), ("group", "line"), True),
        ],
    )
    def test_a_group_has_its_own_and_nobodys_an_individual_its_id(self, by, owner, may):
        previous = None if owner is None else registration(owner)
        if may:
            admission.admit(attested(by), previous)
            return
        with pytest.raises(Unauthenticated) as refused:
            admission.admit(attested(by), previous)
        assert refused.value.message == "Unauthorized"
        assert refused.value.rule == "registration-of-another-enrollment"
        assert owner[1] in refused.value.evidence
        assert "accredit device move" in refused.value.hint

    def test_whose_it_is_comes_before_whether_it_is_switched_on(self):
        """A stranger's group learns nothing, not even that it is disabled."""
        with pytest.raises(Unauthenticated):
            admission.admit(attested(enrollment("other", enabled=False)), registration())

    def test_switched_off(self):
        with pytest.raises(Disabled) as refused:
            admission.admit(attested(enrollment(enabled=False)), None)
        assert refused.value.rule == "enrollment-disabled"
        admission.check_owner(attested(enrollment(enabled=False)), None)

    def test_a_revoked_device_stays_out_until_it_is_let_in_again(self):
        revoked = registration(status=Status.DISABLED)
        with pytest.raises(Disabled) as refused:
            admission.admit(attested(enrollment()), revoked)
        assert refused.value.rule == "device-revoked"
        assert "device readmit Dev-1" in refused.value.hint

    def test_only_a_revoked_one_does(self):
        for status in Status:
            assert admission.is_revoked(registration(status=status)) is (status is Status.DISABLED)
        assert not admission.is_revoked(None)


class TestQuota:
    def test_a_list_is_for_those_that_it_names(self):
        by = attested(enrollment(settings={"allowedRegistrationIdsOnly": True}))
        admission.check_allowed(by, on_list=True)
        with pytest.raises(Refused) as refused:
            admission.check_allowed(by, on_list=False)
        assert refused.value.rule == "device-not-allowed"
        assert "accredit enroll allow line Dev-1" in refused.value.hint

    @pytest.mark.parametrize(
        ("previous", "takes_room"),
        [(None, True), (registration(), False), (registration(("group", "other")), True)],
    )
    def test_only_a_device_that_is_new_to_its_group_takes_room(self, previous, takes_room):
        by = enrollment(settings={"quota": {"maxRegistrations": 3}})
        found = admission.room(attested(by), previous)
        assert found == ((AssertRoom(by.ref, 3),) if takes_room else ())

    def test_without_a_quota_there_is_room_for_all(self):
        assert admission.room(attested(enrollment()), None) == ()


class TestIdPattern:
    def patterned(self, pattern):
        return enrollment(settings={"idPattern": pattern})

    @pytest.mark.parametrize(
        ("pattern", "device", "is_in"),
        [
            ("dev-[0-9]+", "Dev-1", True),
            ("DEV-[0-9]+", "dev-1", True),
            ("dev", "dev-1", False),
            ("-1", "dev-1", False),
            ("dev-.*", "dev-1", True),
            ("dev-1|dev-2", "dev-2", True),
            ("", "dev-1", False),
        ],
    )
    def test_the_whole_id_matches_in_any_case(self, pattern, device, is_in):
        groups = [self.patterned(pattern)]
        found = admission.open_to(RegistrationId.parse(device), groups)
        assert list(found) == (groups if is_in else [])

    def test_without_one_a_group_is_open_to_all_and_the_order_stays(self):
        groups = [enrollment("c"), self.patterned("x"), enrollment("a"), self.patterned("dev-1")]
        assert list(admission.open_to(DEVICE, groups)) == [groups[0], groups[2], groups[3]]

    def test_what_is_no_expression_any_more_matches_nothing(self):
        """It was stored by a service that ran on another Python."""
        assert list(admission.open_to(DEVICE, [self.patterned("("), enrollment("b")])) == [enrollment("b")]

    @given(st.from_regex(r"[A-Za-z0-9\-._:]{0,20}[A-Za-z0-9\-]", fullmatch=True))
    def test_an_ids_own_text_escaped_has_it(self, text):
        import re

        groups = [self.patterned(re.escape(text))]
        assert list(admission.open_to(RegistrationId.parse(text.swapcase()), groups)) == groups

    @given(st.text(max_size=40))
    def test_any_text_is_judged(self, pattern):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            admission.open_to(DEVICE, [self.patterned(pattern)])


class TestNames:
    def test_the_spelling_of_an_individual_enrollment(self):
        assert admission.registration_id(attested(individual()), registration()).text == "dEV-1"

    def test_the_spelling_that_a_group_saw_first(self):
        assert admission.registration_id(attested(enrollment()), registration()).text == "DEV-1"
        assert admission.registration_id(attested(enrollment()), None).text == "Dev-1"

    def test_the_device_id(self):
        assert admission.device_id(enrollment(), DEVICE) == DeviceId("Dev-1")
        assert admission.device_id(individual(device_id=DeviceId("Pump")), DEVICE) == DeviceId("Pump")
