"""Documents, etags, queries and paging of the service API."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import Malformed
from accredit.domain.ids import RegistrationId
from accredit.wire.service_api import queries
from accredit.wire.service_api.authorities import read_authority
from accredit.wire.service_api.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES, free_form, read, write
from accredit.wire.service_api.etags import NO_CONDITION, IfMatch, if_match, quoted
from accredit.wire.service_api.issuance_log import read_serial
from accredit.wire.service_api.registrations import read_move
from accredit.wire.service_api.selectable import enrollment_fields


def refused(body: bytes, kind: object = dict) -> str:
    with pytest.raises(Malformed) as error:
        read(body, kind)
    return error.value.rule


FIELDS = enrollment_fields(EnrollmentKind.INDIVIDUAL)


class TestDocuments:
    @pytest.mark.parametrize("body", [b"", b" ", b"{", b"\xff", b'{"a":"\xff"}', b"NaN", b'"\\ud800"'])
    def test_what_is_not_json(self, body: bytes) -> None:
        assert refused(body) == "body-not-json"

    def test_what_nests_without_an_end(self) -> None:
        assert refused(b"[" * 50_000, list) == "body-not-json"

    def test_what_is_json_of_another_shape(self) -> None:
        assert refused(b"[]") == "document-invalid"

    def test_the_largest_and_one_more(self) -> None:
        body = b'"' + b"x" * (MAX_DOCUMENT_BYTES - 2) + b'"'
        assert read(body, str) == "x" * (MAX_DOCUMENT_BYTES - 2)
        assert refused(body + b" ", str) == "body-too-large"

    @given(st.binary(max_size=200))
    def test_only_malformed_leaves(self, body: bytes) -> None:
        with suppress(Malformed):
            read(body, dict)

    def test_free_form_members_are_bounded_in_depth(self) -> None:
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
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )

    @given(st.dictionaries(st.text(), json_values, max_size=4))
    def test_free_form_members_come_back_as_sent(self, value: dict) -> None:
        decoded = msgspec.json.decode(json.dumps(value).encode("utf-8", "surrogatepass"))
        assert free_form(decoded, "twin") == decoded
        assert msgspec.json.decode(write(free_form(decoded, "twin"))) == decoded


class TestEtags:
    @pytest.mark.parametrize(
        "sent", ['"abc"', "abc", 'W/"abc"', "w/abc", '""abc""', ' "abc" ', 'W/""abc""'], ids=repr
    )
    def test_every_form_in_which_clients_send_one_back(self, sent: str) -> None:
        assert if_match(sent) == IfMatch("abc")

    @pytest.mark.parametrize("sent", ["*", '"*"', " * ", 'W/"*"'])
    def test_anything(self, sent: str) -> None:
        assert if_match(sent) == IfMatch("*")

    def test_none_sets_no_condition(self) -> None:
        assert if_match(None) == NO_CONDITION

    @pytest.mark.parametrize("sent", ["", '""', '"', " "])
    def test_an_empty_one_is_a_condition_that_nothing_meets(self, sent: str) -> None:
        assert if_match(sent).etag in ("", '"')

    @given(st.from_regex(r"[0-9a-f]{1,40}", fullmatch=True))
    def test_the_json_value_survives_the_round_trip(self, etag: str) -> None:
        document = msgspec.json.decode(write({"etag": quoted(etag)}))
        assert document["etag"] == f'"{etag}"'
        assert if_match(document["etag"]) == IfMatch(etag)
        assert if_match(f'"{document["etag"]}"') == IfMatch(etag)

    @given(st.text(max_size=30))
    def test_never_raises(self, sent: str) -> None:
        if_match(sent)


class TestQueries:
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
    def test_everything_is_asked_for(self, body: bytes) -> None:
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
    def test_something_else(self, query: str, rule: str) -> None:
        with pytest.raises(Malformed) as refusal:
            queries.read_query(write({"query": query}), "enrollments", FIELDS)
        assert refusal.value.rule == rule

    @given(st.binary(max_size=100) | st.text(max_size=100).map(lambda text: write({"query": text})))
    def test_only_malformed_leaves(self, body: bytes) -> None:
        with suppress(Malformed):
            queries.read_query(body, "enrollments", FIELDS)

    def test_page_sizes(self) -> None:
        assert queries.paging(None, None) == queries.Paging(queries.DEFAULT_PAGE, None)
        assert queries.paging("7", None).limit == 7
        assert queries.paging(" 7 ", "").limit == 7
        assert queries.paging("999999999", None).limit == queries.MAX_PAGE

    @pytest.mark.parametrize("count", ["0", "-1", "1.5", "x", "٣", "1_0", "9" * 5000])
    def test_page_sizes_that_are_none(self, count: str) -> None:
        with pytest.raises(Malformed):
            queries.paging(count, None)

    def test_a_continuation_is_handed_on_as_it_is(self) -> None:
        assert queries.paging(None, "b3BhcXVl").cursor == "b3BhcXVl"
        assert queries.paging(None, "  ").cursor is None
        with pytest.raises(Malformed):
            queries.paging(None, "x" * 3000)

    @given(st.text(max_size=50))
    def test_only_malformed_leaves_the_headers(self, sent: str) -> None:
        with suppress(Malformed):
            queries.paging(sent, sent)


class TestSmallBodies:
    dev = RegistrationId.parse("Dev-1")

    def test_move_to_a_group(self) -> None:
        assert str(read_move(b'{"enrollmentGroupId":"Line-2"}', self.dev).key) == "line-2"

    def test_move_to_the_individual_enrollment(self) -> None:
        assert read_move(b'{"individual":true}', self.dev).key == "dev-1"

    @pytest.mark.parametrize(
        "body",
        [
            b"{}",
            b'{"individual":false}',
            b'{"individual":true,"enrollmentGroupId":"a"}',
            b'{"enrollmentGroupId":"a b"}',
            b'{"group":"a"}',
            b"",
        ],
    )
    def test_moves_to_nowhere(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            read_move(body, self.dev)

    def test_an_authority_document(self) -> None:
        sent = read_authority(
            b'{"certificateAuthorityType":"X","apiKey":"k","maxValidityDays":3,"a":null,"b":[],"c":true}'
        )
        assert sent.type == "X"
        assert sent.members == {"apiKey": "k", "maxValidityDays": 3}

    def test_an_authority_document_does_not_show_its_members(self) -> None:
        sent = read_authority(b'{"certificateAuthorityType":"X","apiKey":"hush"}')
        assert "hush" not in f"{sent} {sent!r}"

    @pytest.mark.parametrize(
        "body", [b"{}", b'{"certificateAuthorityType":""}', b'{"certificateAuthorityType":1}', b"[]"]
    )
    def test_an_authority_without_a_type(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            read_authority(body)

    def test_names_of_certificates(self) -> None:
        assert read_serial("00fF") == 255
        assert read_serial("ab" * 32) == b"\xab" * 32

    @pytest.mark.parametrize("text", ["", "xyz", "0x12", "1" * 41, "1" * 63, "1" * 65, "-1", "1_0"])
    def test_what_names_no_certificate(self, text: str) -> None:
        with pytest.raises(Malformed):
            read_serial(text)
