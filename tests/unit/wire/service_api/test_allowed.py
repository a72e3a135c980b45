"""The change of a group's list, and one row of it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.ids import RegistrationId
from accredit.wire.service_api.allowed import allowed_document, read_allowed

A, B = RegistrationId.parse("a"), RegistrationId.parse("B")


@pytest.mark.parametrize(
    ("body", "change"),
    [
        (b"{}", ((), ())),
        (b'{"add":["a","B"]}', ((A, B), ())),
        (b'{"remove":["B"],"add":["a"]}', ((A,), (B,))),
    ],
)
def test_read(body: bytes, change: tuple) -> None:
    assert read_allowed(body) == change


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b'{"add":["a","b c"]}', "id-grammar"),
        (b'{"remove":[""]}', "id-grammar"),
        (b'{"add":"a"}', "document-invalid"),
        (b'{"allow":["a"]}', "document-invalid"),
        (b"", "body-not-json"),
    ],
)
def test_what_is_no_change(body: bytes, rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_allowed(body)
    assert refused.value.rule == rule


@given(st.binary(max_size=60))
def test_only_malformed_leaves(body: bytes) -> None:
    with suppress(Malformed):
        read_allowed(body)


def test_a_row_keeps_the_spelling() -> None:
    assert allowed_document(B) == {"registrationId": "B"}
