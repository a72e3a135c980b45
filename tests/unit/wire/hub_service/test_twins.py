"""Twin documents: what is taken, what is shown, and both sides of one conversation."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.device import DeviceData, HubDevice, TwinVersions
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId
from accredit.values import replace
from accredit.wire.hub_service import twins
from accredit.wire.hub_service.twins import TwinSent

DEVICE = HubDevice(DeviceId("lamp-1"), None, "1", "e1", 1, 2)


def test_a_fresh_twin_is_as_azure_s() -> None:
    """Azure's samples: version 2, both `$version` 1, the etag of the first change, instants that never were."""
    shown = twins.twin_document(DEVICE, connected=False)
    assert (shown["etag"], shown["deviceEtag"], shown["version"]) == ("AAAAAAAAAAE=", "e1", 2)
    never = "0001-01-01T00:00:00Z"
    assert shown["properties"] == {
        "desired": {"$metadata": {"$lastUpdated": never, "$lastUpdatedVersion": 1}, "$version": 1},
        "reported": {"$metadata": {"$lastUpdated": never}, "$version": 1},
    }
    assert shown["tags"] == {}
    assert shown["authenticationType"] == "certificateAuthority"


def test_what_is_shown_can_be_sent_back() -> None:
    data = DeviceData({"floor": 5}, {"on": True, "deep": {"$not-root": 1}})
    device = replace(DEVICE, data=data, twin=TwinVersions(3, 9, 4, 1_800_000_000))
    shown = twins.twin_document(device, connected=True)
    assert shown["properties"]["desired"]["$version"] == 4
    assert shown["properties"]["desired"]["$metadata"]["$lastUpdated"] == "2027-01-15T08:00:00.0000000Z"
    assert twins.read_twin(msgspec.json.encode(shown)) == TwinSent(data.tags, data.desired)
    assert twins.read_present_twin(msgspec.json.encode(shown)) == data


@pytest.mark.parametrize(
    ("document", "sent"),
    [
        ({}, TwinSent(None, None)),
        ({"tags": None, "properties": None}, TwinSent(None, None)),
        ({"tags": {"a": None}}, TwinSent({"a": None}, None)),
        ({"properties": {"desired": {}, "reported": {"x": 1}}}, TwinSent(None, {})),
    ],
)
def test_halves_may_be_missing(document: dict[str, object], sent: TwinSent) -> None:
    assert twins.read_twin(json.dumps(document).encode()) == sent


def test_data_is_sent_whole() -> None:
    data = DeviceData({"a": 1}, {"b": 2}, iot_edge=True)
    assert twins.read_twin(msgspec.json.encode(twins.data_document(data))) == TwinSent({"a": 1}, {"b": 2})


@given(st.integers(0, 2**63 - 1))
def test_etags_count(number: int) -> None:
    assert twins.etag_number(twins.etag(TwinVersions(number))) == number


@pytest.mark.parametrize("text", ["", "*", "e1", "AAAA", "é", "AAAAAAAAAAE"])
def test_what_is_no_etag_of_a_twin(text: str) -> None:
    assert twins.etag_number(text) is None


@given(st.binary(max_size=300))
def test_nothing_but_malformed_leaves_the_reading(body: bytes) -> None:
    for read in (twins.read_twin, twins.read_present_twin):
        with contextlib.suppress(Malformed):
            read(body)
