"""Cursors name their listing and come back as what they were made of."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.interfaces import Page
from accredit.stores import paging

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)


def cursor_after(key, listing):
    return paging.page([key, "one more"], 1, str, lambda row: row, listing).cursor


@given(texts)
def test_a_key_comes_back(key):
    assert paging.after_key(cursor_after(key, "names"), "names") == key


@given(st.integers(0, 2**63 - 1))
def test_an_id_comes_back(number):
    assert paging.after_id(cursor_after(number, "rows"), "rows") == number


def test_without_a_cursor_a_listing_begins_at_its_start():
    assert paging.after_key(None, "names") == ""
    assert paging.after_id(None, "rows") == 0


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_is_a_cursor_or_malformed(text):
    for read in (paging.after_key, paging.after_id):
        with contextlib.suppress(Malformed):
            read(text, "rows")


@pytest.mark.parametrize(
    "content", ["rows:-1", "rows:x", "rows:1.5", "rows: 1", f"rows:{2**63}", "rows:²", "rows:" + "1" * 90]
)
def test_an_id_is_a_number_that_a_row_can_have(content):
    with pytest.raises(Malformed):
        paging.after_id(base64.urlsafe_b64encode(content.encode()).decode(), "rows")


@pytest.mark.parametrize(("limit", "bounded"), [(-1, 1), (0, 1), (1, 1), (1000, 1000), (10**9, 1000)])
def test_pages_are_bounded(limit, bounded):
    assert paging.bounded(limit) == bounded


def test_the_last_page_has_no_cursor():
    assert paging.page([], 2, str, str, "rows") == Page([], None)
    assert paging.page([1, 2], 2, str, str, "rows") == Page(["1", "2"], None)
    assert paging.page([1, 2, 3], 2, str, str, "rows").rows == ["1", "2"]
