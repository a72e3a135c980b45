"""Whose device it is: the enrollment that first proved a registration owns it, until the operator says otherwise."""

from __future__ import annotations

import json

from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService


def registers(service: RunningService, registration_id: str, key: str, **members: str) -> int:
    with DpsDevice(service, registration_id, key=key) as device:
        return device.registers(**members).status


def two_groups(service: RunningService, name: str) -> tuple[str, str]:
    """The key of one and the same device id by each of two groups."""
    ours = symmetric_group(service, f"ours-{name}", **issuing())
    theirs = symmetric_group(service, f"theirs-{name}", **issuing())
    return derived_key(ours, name), derived_key(theirs, name)


class TestAnotherGroup:
    def test_is_refused_with_a_line_that_names_the_rule(self, service: RunningService, name: str) -> None:
        ours, theirs = two_groups(service, name)
        assert registers(service, name, ours) == 200
        with DpsDevice(service, name, key=theirs) as device:
            answer = device.registers()
        assert (answer.status, answer.error_code) == (401, 401002)
        assert "group" not in answer.document["message"].lower()
        line = service.logs("registration", registrationId=name, outcome="refused")
        assert line["rule"] == "registration-of-another-enrollment"
        assert line["trackingId"] == answer.document["trackingId"]
        assert f"accredit device move {name} --group theirs-{name}" in line["hint"]
        assert registers(service, name, ours) == 200

    def test_gets_no_certificate_for_it(self, service: RunningService, key: DeviceKey) -> None:
        name = key.registration_id
        ours, theirs = two_groups(service, name)
        assert registers(service, name, ours) == 200
        assert registers(service, name, theirs, clientCertificateCsr=key.csr()) == 401
        assert service.certificates(name) == []

    def test_learns_nothing_of_its_operations(self, service: RunningService, name: str) -> None:
        ours, theirs = two_groups(service, name)
        with DpsDevice(service, name, key=ours) as device:
            operation_id = str(device.registers().document["operationId"])
        with DpsDevice(service, name, key=theirs) as device:
            assert device.polls(operation_id).status == 401

    def test_gets_it_when_the_operator_moves_it(self, service: RunningService, name: str) -> None:
        ours, theirs = two_groups(service, name)
        assert registers(service, name, ours) == 200
        moved = json.loads(service.cli("device", "move", name, "--group", f"theirs-{name}").stdout)
        assert moved["registrationId"] == name
        assert registers(service, name, theirs) == 200
        assert registers(service, name, ours) == 401

    def test_gets_it_when_the_registration_is_deleted(self, service: RunningService, name: str) -> None:
        ours, theirs = two_groups(service, name)
        assert registers(service, name, ours) == 200
        service.client().call("DELETE", f"/registrations/{name}")
        assert registers(service, name, theirs) == 200
        assert registers(service, name, ours) == 401


class TestAnIndividualEnrollment:
    def test_takes_over_what_a_group_had(self, service: RunningService, name: str) -> None:
        ours, _ = two_groups(service, name)
        assert registers(service, name, ours) == 200
        own = symmetric_individual(service, name)
        assert registers(service, name, own) == 200
        # The individual enrollment hides the groups.
        assert registers(service, name, ours) == 401

    def test_opens_the_hub_with_its_own_key_alone(self, service: RunningService, name: str) -> None:
        ours, _ = two_groups(service, name)
        assert registers(service, name, ours) == 200
        own = symmetric_individual(service, name)
        assert registers(service, name, own) == 200
        with HubDevice(service, name, key=ours) as device:
            assert device.code == 5
        with HubDevice(service, name, key=own) as device:
            assert device.code == 0
            device.sends()


def test_ids_are_one_whatever_their_case(service: RunningService, name: str) -> None:
    ours, _ = two_groups(service, name)
    assert registers(service, name, ours) == 200
    theirs = derived_key(symmetric_group(service, f"theirs-{name}"), name.upper())
    assert registers(service, name.upper(), theirs) == 401
