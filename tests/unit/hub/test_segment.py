"""The format: what is written comes back, and nothing that is not whole does."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub import segment

texts = st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4)
messages = st.builds(
    Telemetry,
    device_id=st.sampled_from([DeviceId("lamp-1"), DeviceId("lamp-2")]),
    body=st.binary(max_size=200),
    properties=texts,
    system=texts,
    auth_method=st.text(max_size=20),
    enqueued_at=st.floats(0, 4e9),
    hub=st.sampled_from(["", "a.example"]),
)


def written(first: int, sent: list[Telemetry]) -> bytes:
    records = [segment.record(number, segment.payload(each)) for number, each in enumerate(sent, first)]
    return segment.header(first) + b"".join(records)


def read(data: bytes) -> list[Telemetry]:
    first = segment.first_sequence(data)
    whole = segment.whole_records(data, first)
    return [segment.message(data[at:end], first + place) for place, (at, end, *_) in enumerate(whole)]


@given(first=st.integers(1, 1 << 60), sent=st.lists(messages, max_size=5))
def test_every_message_comes_back_as_it_was(first: int, sent: list[Telemetry]) -> None:
    data = written(first, sent)
    assert segment.first_sequence(data) == first
    assert read(data) == sent
    told = [rest for _, _, *rest in segment.whole_records(data, first)]
    assert told == [[each.device_id.text, each.enqueued_at, each.hub] for each in sent]


@given(sent=st.lists(messages, min_size=1, max_size=5), choice=st.data())
def test_whatever_is_cut_off_exactly_the_whole_records_are_left(
    sent: list[Telemetry], choice: st.DataObject
) -> None:
    data = written(7, sent)
    size = choice.draw(st.integers(segment.HEADER.size, len(data)))
    whole = sum(len(written(7, sent[:count])) <= size for count in range(1, len(sent) + 1))
    assert read(data[:size]) == sent[:whole]


@given(sent=st.lists(messages, min_size=1, max_size=4), choice=st.data())
def test_a_byte_that_changed_ends_the_reading_before_its_record(
    sent: list[Telemetry], choice: st.DataObject
) -> None:
    data = bytearray(written(7, sent))
    at = choice.draw(st.integers(segment.HEADER.size, len(data) - 1))
    data[at] ^= choice.draw(st.integers(1, 255))
    before = sum(len(written(7, sent[:count])) <= at for count in range(1, len(sent) + 1))
    assert read(bytes(data)) == sent[:before]


def test_a_record_of_another_number_is_not_whole() -> None:
    one = Telemetry(DeviceId("lamp-1"), b"x", {}, {}, "{}", 1.0)
    record = segment.record(8, segment.payload(one))
    assert list(segment.whole_records(segment.header(7) + record, 7)) == []
    with pytest.raises(segment.Damaged):
        segment.message(record, 7)
    with pytest.raises(segment.Damaged):
        segment.message(record + b"\0", 8)
    assert segment.message(record, 8) == one


def test_a_right_checksum_over_no_message_is_damage() -> None:
    record = segment.record(7, b"\xc1")
    assert list(segment.whole_records(segment.header(7) + record, 7)) == []
    with pytest.raises(segment.Damaged):
        segment.message(record, 7)


def test_a_length_beyond_the_largest_is_damage_whatever_its_checksum() -> None:
    payload = bytes(segment.MAX_PAYLOAD_BYTES + 1)
    record = segment.record(7, payload)
    assert int.from_bytes(record[:4], "little") == zlib.crc32(record[4:])
    with pytest.raises(segment.Damaged):
        segment.message(record, 7)


@pytest.mark.parametrize("data", [b"", b"accredT1", b"accredT9" + bytes(8)])
def test_what_is_no_segment(data: bytes) -> None:
    with pytest.raises(segment.Damaged):
        segment.first_sequence(data)
