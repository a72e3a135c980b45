"""Twins as devices see them, and what they report."""

from __future__ import annotations

import json

import pytest

from accredit.domain.credential import RenewalWindow
from accredit.domain.device import DeviceData, Reported, TwinVersions
from accredit.domain.errors import Malformed, PreconditionFailed
from accredit.values import replace
from accredit.wire.device_twins import defect, desired_body, problem, read_reported, twin_body
from support import stored_values as some
from support.stored_values import NOW

DEVICE = replace(
    some.hub_device(),
    data=DeviceData({"tag": 1}, {"colour": "red"}),
    twin=TwinVersions(desired=4),
    reported=Reported({"lit": True}, 7, NOW),
)
WINDOW = RenewalWindow(NOW, NOW + 20, NOW + 10)


def test_two_objects_with_their_versions_and_no_tags() -> None:
    assert json.loads(twin_body(DEVICE, None)) == {
        "desired": {"colour": "red", "$version": 4},
        "reported": {"lit": True, "$version": 7},
    }


def test_the_renewal_window_stands_behind_what_the_operator_says() -> None:
    assert json.loads(twin_body(DEVICE, WINDOW))["desired"]["certificateRenewal"] == {
        "renewAt": "2027-01-15T08:00:10.0000000Z",
        "windowOpens": "2027-01-15T08:00:00.0000000Z",
        "windowCloses": "2027-01-15T08:00:20.0000000Z",
    }
    own = replace(DEVICE, data=DeviceData({}, {"certificateRenewal": 5}))
    assert json.loads(twin_body(own, WINDOW))["desired"]["certificateRenewal"] == 5


def test_a_change_with_its_version() -> None:
    assert json.loads(desired_body({"a": None}, 9)) == {"a": None, "$version": 9}


def test_what_is_reported() -> None:
    assert read_reported(b'{"a": {"b": null}}') == {"a": {"b": None}}
    for body in (b"", b"1", b"[]", b'{"$version": 2}', b'{"$metadata": {}}'):
        with pytest.raises(Malformed):
            read_reported(body)


def test_refusals_and_defects_have_a_code_that_the_sdks_look_for() -> None:
    status, body = problem(PreconditionFailed("another", rule="etag"), "t", NOW)
    assert (status, json.loads(body)) == (
        412,
        {
            "errorCode": 412001,
            "message": "another",
            "trackingId": "t",
            "timestampUtc": "2027-01-15T08:00:00.0000000Z",
        },
    )
    assert defect("t", NOW)[0] == 500
