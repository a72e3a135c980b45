"""DER written and read: what is written is read back, and nothing else than DER is taken."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire.der import MAX_ELEMENTS, BadDer, element, elements, integer, only


@given(st.lists(st.tuples(st.sampled_from([2, 4, 0x30, 0xA1]), st.binary(max_size=70_000)), max_size=4))
def test_what_is_written_is_read(parts):
    data = b"".join(element(tag, content) for tag, content in parts)
    found = elements(data)
    assert [(one.tag, one.content) for one in found] == parts
    assert b"".join(one.whole for one in found) == data


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers(value):
    assert only(integer(value), 2).number() == value


@given(st.binary(max_size=64))
def test_anything_is_refused_in_one_way(data):
    with suppress(BadDer):
        assert b"".join(one.whole for one in elements(data)) == data


@pytest.mark.parametrize(
    "data",
    ["04", "1f0100", "3081", "3080", "30810100", "308200ff", "3084000000010000", "0402aa", "30817f"],
)
def test_what_is_no_der(data):
    with pytest.raises(BadDer):
        elements(bytes.fromhex(data))


def test_more_than_are_read():
    with pytest.raises(BadDer, match="side by side"):
        elements(element(5) * (MAX_ELEMENTS + 1))


@pytest.mark.parametrize("data", [b"", element(4) * 2, element(4)])
def test_only_the_one_that_is_expected(data):
    with pytest.raises(BadDer):
        only(data, 0x30)


@pytest.mark.parametrize("data", [element(4, b"\x01"), element(2), element(2, bytes(9))])
def test_what_is_no_number(data):
    with pytest.raises(BadDer):
        elements(data)[0].number()


def test_inside():
    (inner,) = only(element(0x30, element(4, b"x")), 0x30).inside()
    assert inner.content == b"x"
