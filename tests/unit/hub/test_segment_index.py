"""The index: it finds what there is, growing or stored, and is believed only when it is whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.ids import DeviceId
from accredit.hub import segment
from accredit.hub.segment_index import GrowingIndex, StoredIndex, indexed, summary

devices = st.lists(st.sampled_from(["lamp-1", "lamp-2", "Lamp-1", "d" * 128]), max_size=30)


def growing(names: list[str], first: int = 5) -> GrowingIndex:
    index = GrowingIndex(first)
    for place, name in enumerate(names):
        index.add(index.end + 10 + place, name, 100.0 + place, f"hub-{place % 2}")
    return index


@given(names=devices, start=st.integers(0, 30))
def test_a_devices_records_are_found_in_order(names: list[str], start: int) -> None:
    index = growing(names)
    stored = StoredIndex(index.encode())
    for name in {*names, "unknown"}:
        expected = [place for place, each in enumerate(names) if each == name and place >= start]
        assert list(index.places(DeviceId(name), start, len(names))) == expected
        assert list(stored.places(DeviceId(name), start, len(names))) == expected
    assert list(stored.offsets) == list(index.offsets)


@given(names=devices)
def test_the_summary_tells_what_a_segment_holds(names: list[str]) -> None:
    index = growing(names)
    told = summary(index.encode())
    assert told == index.summary == StoredIndex(index.encode()).summary
    assert (told.first, told.count, told.end) == (5, len(names), index.end)
    assert told.hubs == {f"hub-{place % 2}" for place in range(len(names))}
    assert told.newest == (100.0 + len(names) - 1 if names else float("-inf"))


@given(names=devices, choice=st.data())
def test_a_byte_that_changed_or_is_missing_is_noticed(names: list[str], choice: st.DataObject) -> None:
    data = bytearray(growing(names).encode())
    at = choice.draw(st.integers(0, len(data) - 1))
    with pytest.raises(segment.Damaged):
        StoredIndex(bytes(data[:at]))
    data[at] ^= choice.draw(st.integers(1, 255))
    with pytest.raises(segment.Damaged):
        StoredIndex(bytes(data))


def test_it_is_made_anew_from_the_records_up_to_the_next_segment() -> None:
    def records() -> Iterator[tuple[int, int, str, float, str]]:
        yield 16, 26, "lamp-1", 100.0, "hub-0"
        yield 26, 37, "lamp-2", 101.0, "hub-1"
        yield 37, 49, "lamp-1", 102.0, "hub-0"

    assert indexed(5, records()).encode() == growing(["lamp-1", "lamp-2", "lamp-1"]).encode()
    assert indexed(5, records(), below=7).encode() == growing(["lamp-1", "lamp-2"]).encode()
