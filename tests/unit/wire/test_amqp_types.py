"""AMQP 1.0, part 1: encodings, and what is refused of a stranger's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire import amqp_types as t
from accredit.wire.amqp_types import AmqpError, Described, Reader, Symbol, Timestamp


def read(encoded: bytes) -> Any:
    reader = Reader(encoded)
    value = reader.value()
    assert not reader.more
    return value


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("40", None),
        ("41", True),
        ("42", False),
        ("5600", False),
        ("5601", True),
        ("50ff", 255),
        ("60ffff", 65_535),
        ("70ffffffff", 4_294_967_295),
        ("52ff", 255),
        ("43", 0),
        ("80ffffffffffffffff", 2**64 - 1),
        ("53ff", 255),
        ("44", 0),
        ("51ff", -1),
        ("61ffff", -1),
        ("71ffffffff", -1),
        ("54ff", -1),
        ("81ffffffffffffffff", -1),
        ("55ff", -1),
        ("723f800000", 1.0),
        ("82bff0000000000000", -1.0),
        ("7400000001", b"\x00\x00\x00\x01"),
        ("840000000000000001", b"\x00\x00\x00\x00\x00\x00\x00\x01"),
        ("94" + "00" * 16, bytes(16)),
        ("7300000041", "A"),
        ("830000000000000001", 1),
        ("98" + "01" * 16, UUID(bytes=b"\x01" * 16)),
        ("a0026869", b"hi"),
        ("b0000000026869", b"hi"),
        ("a1026869", "hi"),
        ("b1000000026869", "hi"),
        ("a3026869", "hi"),
        ("b3000000026869", "hi"),
        ("45", []),
        ("c0020141", [True]),
        ("d00000000500000001" + "41", [True]),
        ("c1050253ff5301", {255: 1}),
        ("d10000000800000002" + "53ff5301", {255: 1}),
        ("e00602a301610162", ["a", "b"]),
        ("f00000000900000002a301610162", ["a", "b"]),
        ("005310c00100", Described(16, [])),
        ("00a30161" + "40", Described("a", None)),
    ],
)
def test_every_type_is_read(encoded: str, value: Any) -> None:
    assert read(bytes.fromhex(encoded)) == value


def test_an_array_of_described_values() -> None:
    assert read(bytes.fromhex("e007020053055001" + "02")) == [Described(5, 1), Described(5, 2)]


_WRITERS: list[tuple[Callable[[Any], bytes], st.SearchStrategy[Any]]] = [
    (t.boolean, st.booleans()),
    (t.ubyte, st.integers(0, 2**8 - 1)),
    (t.ushort, st.integers(0, 2**16 - 1)),
    (t.uint, st.integers(0, 2**32 - 1)),
    (t.ulong, st.integers(0, 2**64 - 1)),
    (t.int32, st.integers(-(2**31), 2**31 - 1)),
    (t.timestamp, st.integers(-(2**63), 2**63 - 1)),
    (t.uuid, st.uuids()),
    (t.binary, st.binary(max_size=600)),
    (t.string, st.text(max_size=300)),
    (t.symbol, st.text(st.characters(max_codepoint=127), max_size=300)),
]


@pytest.mark.parametrize(("write", "values"), _WRITERS)
def test_what_is_written_is_read(write: Callable[[Any], bytes], values: st.SearchStrategy[Any]) -> None:
    @given(values)
    def check(value: Any) -> None:
        assert read(write(value)) == value

    check()


@given(st.lists(st.binary(max_size=80), max_size=300))
def test_lists_and_maps_are_read(values: list[bytes]) -> None:
    encoded = [t.binary(value) for value in values]
    assert read(t.sequence(*encoded)) == values
    pairs = [part for index, value in enumerate(encoded) for part in (t.uint(index), value)]
    assert read(t.mapping(*pairs)) == dict(enumerate(values))


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20), min_size=1))
def test_arrays_of_symbols_are_read(names: list[str]) -> None:
    found = read(t.symbols(*names))
    assert found == names
    assert all(isinstance(name, Symbol) for name in found)


def test_types_that_python_has_not_are_told_apart() -> None:
    assert isinstance(read(t.symbol("a")), Symbol)
    assert not isinstance(read(t.string("a")), Symbol)
    assert isinstance(read(t.timestamp(1)), Timestamp)


def test_a_raw_value_is_what_stood_there() -> None:
    reader = Reader(t.ulong(7) + t.string("next"))
    assert reader.raw() == t.ulong(7)
    assert reader.value() == "next"


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "e00402a30161",
        "53",
        "a105",
        "b1ffffffff",
        "99",
        "5602",
        "a101ff",
        "a301ff",
        "73ffffffff",
        "c00502" + "4041",
        "c0030141" + "41",
        "c1020141",
        "c104024541" + "",
        "c10302" + "4541",
        "d0000000ff00000001" + "41",
        "d000000004ffffffff",
        "f000000005ffffffff40",
        "f000000005ffffffff45",
        "f000000005ffffffff50",
        "00" * 40 + "40",
        "00",
        "0053",
    ],
)
def test_what_is_not_amqp_is_refused(encoded: str) -> None:
    with pytest.raises(AmqpError):
        read(bytes.fromhex(encoded))


def test_depth_is_bounded() -> None:
    value = t.NULL
    for _ in range(t.MAX_DEPTH - 1):
        value = t.sequence(value)
    assert read(value) is not None
    with pytest.raises(AmqpError):
        read(t.sequence(t.sequence(t.sequence(value))))


def test_a_value_without_its_descriptor_is_refused() -> None:
    with pytest.raises(AmqpError):
        Reader(b"\x40").descriptor()


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    reader = Reader(data)
    try:
        while reader.more:
            reader.value()
    except AmqpError:
        return
    assert reader.at == len(data)
