"""Queries and paging: what is read of bodies and headers."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import Malformed
from accredit.wire.service_api import queries
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.selectable import enrollment_fields

FIELDS = enrollment_fields(EnrollmentKind.INDIVIDUAL)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{}",
        b"null",
        b'{"query":null}',
        b'{"query":""}',
        b'{"query":"SELECT * FROM enrollments"}',
        b'{"query":"  select *\\n from  EnrollMents ; "}',
        b'{"query":"select*from enrollments"}',
        b'{"query":"SELECT * FROM enrollments","other":1}',
    ],
)
def test_everything_is_asked_for(body: bytes) -> None:
    assert queries.read_query(body, "enrollments", FIELDS) is None


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("SELECT * FROM enrollmentGroups", "query-source"),
        ("SELECT * FROM enrollments WHERE a = 'b'", "query-field"),
        ("SELECT * FROM enrollments ORDER BY a", "query-unsupported"),
        ("SELECT a FROM enrollments", "query-unsupported"),
        ("DROP TABLE enrollments", "query-malformed"),
        ("SELECT * FROM", "query-source"),
        ("enrollments", "query-malformed"),
    ],
)
def test_something_else(query: str, rule: str) -> None:
    with pytest.raises(Malformed) as refusal:
        queries.read_query(write({"query": query}), "enrollments", FIELDS)
    assert refusal.value.rule == rule


@given(st.binary(max_size=100) | st.text(max_size=100).map(lambda text: write({"query": text})))
def test_only_malformed_leaves(body: bytes) -> None:
    with suppress(Malformed):
        queries.read_query(body, "enrollments", FIELDS)


def test_page_sizes() -> None:
    assert queries.paging(None, None) == queries.Paging(queries.DEFAULT_PAGE, None)
    assert queries.paging("7", None).limit == 7
    assert queries.paging(" 7 ", "").limit == 7
    assert queries.paging("999999999", None).limit == queries.MAX_PAGE


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "x", "٣", "1_0", "9" * 5000])
def test_page_sizes_that_are_none(count: str) -> None:
    with pytest.raises(Malformed):
        queries.paging(count, None)


def test_a_continuation_is_handed_on_as_it_is() -> None:
    assert queries.paging(None, "b3BhcXVl").cursor == "b3BhcXVl"
    assert queries.paging(None, "  ").cursor is None
    with pytest.raises(Malformed):
        queries.paging(None, "x" * 3000)


@given(st.text(max_size=50))
def test_only_malformed_leaves_the_headers(sent: str) -> None:
    with suppress(Malformed):
        queries.paging(sent, sent)
