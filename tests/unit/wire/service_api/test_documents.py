"""Documents are read within bounds, and free-form members come back as they were sent."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.wire.service_api.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES, free_form, read, write


def refused(body: bytes, kind: object = dict) -> str:
    with pytest.raises(Malformed) as error:
        read(body, kind)
    return error.value.rule


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"\xff", b'{"a":"\xff"}', b"NaN", b'"\\ud800"'])
def test_what_is_not_json(body: bytes) -> None:
    assert refused(body) == "body-not-json"


def test_what_nests_without_an_end() -> None:
    assert refused(b"[" * 50_000, list) == "body-not-json"


def test_what_is_json_of_another_shape() -> None:
    assert refused(b"[]") == "document-invalid"


def test_the_largest_and_one_more() -> None:
    body = b'"' + b"x" * (MAX_DOCUMENT_BYTES - 2) + b'"'
    assert read(body, str) == "x" * (MAX_DOCUMENT_BYTES - 2)
    assert refused(body + b" ", str) == "body-too-large"


@given(st.binary(max_size=200))
def test_only_malformed_leaves(body: bytes) -> None:
    with suppress(Malformed):
        read(body, dict)


def test_free_form_members_are_bounded_in_depth() -> None:
    nested: dict = {"deep": 1}
    for _ in range(MAX_DEPTH - 2):
        nested = {"deep": nested}
    assert free_form(nested, "twin") == nested
    with pytest.raises(Malformed):
        free_form({"deep": {"deep": nested}}, "twin")
    lists: list = []
    for _ in range(MAX_DEPTH):
        lists = [lists]
    with pytest.raises(Malformed):
        free_form({"deep": lists}, "twin")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_free_form_members_come_back_as_sent(value: dict) -> None:
    decoded = msgspec.json.decode(json.dumps(value).encode("utf-8", "surrogatepass"))
    assert free_form(decoded, "twin") == decoded
    assert msgspec.json.decode(write(free_form(decoded, "twin"))) == decoded


def test_no_free_form_member_was_sent() -> None:
    assert free_form(None, "twin") is None


@pytest.mark.parametrize(
    "sent",
    [
        b'{"a":1e400}',
        b'{"a":-1e400}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"\\udc00\\ud800":1}',
        b'{"a":NaN}',
    ],
    ids=["too large", "too small", "too long", "half a pair", "a pair turned round", "none"],
)
def test_a_number_or_text_that_could_not_be_written_again_is_not_read(sent: bytes) -> None:
    with pytest.raises(Malformed):
        read(sent, dict)


@pytest.mark.parametrize("sent", [b'{"a":' + b"9" * 4300 + b"}", b'{"a":-1e308}', b'{"a":"\\ud83d\\ude00"}'])
def test_the_largest_that_is_read_is_written_again(sent: bytes) -> None:
    once = read(sent, dict)
    assert read(write(once), dict) == once
