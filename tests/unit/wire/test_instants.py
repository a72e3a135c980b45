"""Instants as Azure writes them."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire.instants import iso


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.0000000Z"),
        (1_552_679_022.5, "2019-03-15T19:43:42.5000000Z"),
        (1_614_602_096.1234567, "2021-03-01T12:34:56.1234567Z"),
        (-0.25, "1969-12-31T23:59:59.7500000Z"),
    ],
)
def test_examples(instant, text):
    assert iso(instant) == text


@given(st.floats(0, 4e9))
def test_form(instant):
    text = iso(instant)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", text)
    assert abs(datetime.fromisoformat(text[:-2]).replace(tzinfo=UTC).timestamp() - instant) < 2e-6
