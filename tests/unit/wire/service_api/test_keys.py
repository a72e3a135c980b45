"""Symmetric keys in documents: 16 to 64 bytes as base64."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.wire.service_api.keys import MAX_KEY_BYTES, MIN_KEY_BYTES, key_text, read_key


@pytest.mark.parametrize("text", [None, ""])
def test_none_was_sent(text: str | None) -> None:
    assert read_key(text, "primaryKey") is None


@given(st.binary(min_size=MIN_KEY_BYTES, max_size=MAX_KEY_BYTES))
def test_a_key_comes_back_as_it_was_shown(key: bytes) -> None:
    assert read_key(key_text(Secret(key)), "primaryKey") == Secret(key)


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode()))
def test_any_text_is_a_key_of_a_good_size_or_refused(text: str) -> None:
    with suppress(Malformed):
        key = read_key(text, "primaryKey")
        assert key is None or MIN_KEY_BYTES <= len(key.reveal()) <= MAX_KEY_BYTES


@pytest.mark.parametrize("size", [MIN_KEY_BYTES - 1, MAX_KEY_BYTES + 1])
def test_too_short_and_too_long(size: int) -> None:
    with pytest.raises(Malformed, match="^primaryKey ") as refused:
        read_key(base64.b64encode(bytes(size)).decode(), "primaryKey")
    assert refused.value.rule == "key-size"
