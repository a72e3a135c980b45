"""If-Match as clients send it, and the etag that goes round."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire.service_api.documents import write
from accredit.wire.service_api.etags import NO_CONDITION, IfMatch, if_match, quoted


@pytest.mark.parametrize(
    "sent", ['"abc"', "abc", 'W/"abc"', "w/abc", '""abc""', ' "abc" ', 'W/""abc""'], ids=repr
)
def test_every_form_in_which_clients_send_one_back(sent: str) -> None:
    assert if_match(sent) == IfMatch("abc")


@pytest.mark.parametrize("sent", ["*", '"*"', " * ", 'W/"*"'])
def test_anything(sent: str) -> None:
    assert if_match(sent) == IfMatch("*")


def test_none_sets_no_condition() -> None:
    assert if_match(None) == NO_CONDITION


@pytest.mark.parametrize("sent", ["", '""', '"', " "])
def test_an_empty_one_is_a_condition_that_nothing_meets(sent: str) -> None:
    assert if_match(sent).etag in ("", '"')


@given(st.from_regex(r"[0-9a-f]{1,40}", fullmatch=True))
def test_the_json_value_survives_the_round_trip(etag: str) -> None:
    document = msgspec.json.decode(write({"etag": quoted(etag)}))
    assert document["etag"] == f'"{etag}"'
    assert if_match(document["etag"]) == IfMatch(etag)
    assert if_match(f'"{document["etag"]}"') == IfMatch(etag)


@given(st.text(max_size=30))
def test_never_raises(sent: str) -> None:
    if_match(sent)
