"""The documents of a renewal over a hub, as Azure's clients write and read them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import KINDS, AccreditError, Malformed, Throttled, UpstreamUnavailable
from accredit.domain.ids import DeviceId
from accredit.domain.renewal import Accepted, Busy, NotRenewed, Renewed
from accredit.wire import credentials
from accredit.wire.rules import RULES

LAMP = DeviceId("lamp-1")
NOW = 1_700_000_000


def asked(**members: object) -> bytes:
    return json.dumps({"id": "lamp-1", "csr": "MIIB", **members}).encode()


def refused(body: bytes) -> Malformed:
    with pytest.raises(Malformed) as refusal:
        credentials.parse_request(body, LAMP)
    return refusal.value


class TestRequest:
    def test_the_members(self) -> None:
        assert credentials.parse_request(asked(), LAMP) == credentials.IssueCertificate("MIIB")

    def test_null_is_absent(self) -> None:
        """The Java and C# SDKs write `"replace": null`."""
        assert credentials.parse_request(asked(replace=None), LAMP).replace is None

    @pytest.mark.parametrize("replace", ["*", "1234", "db8c0f73-ac73-4b90-bba4-8a26ae2fcb27", "a-b4"])
    def test_what_may_be_replaced(self, replace: str) -> None:
        assert credentials.parse_request(asked(replace=replace), LAMP).replace == replace

    @pytest.mark.parametrize(
        "replace", ["123", "", "-1234", "1234-", "a" * 37, "12 34", "12_34", 1234, [], "1234\n"]
    )
    def test_what_names_no_request(self, replace: object) -> None:
        assert refused(asked(replace=replace)).rule == "renewal-request"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"  ",
            b'["not", "an", "object"]',
            b"null",
            asked(unknown=1),
            asked(id="lamp-2"),
            asked(id="LAMP-1"),
            asked(id=""),
            asked(id=None),
            asked(csr=""),
            asked(csr=None),
            asked(csr=7),
            asked(csr="A" * (credentials.MAX_CSR_CHARS + 1)),
            asked(csr="not-valid-base64!!@@##"),
            b" " * (credentials.MAX_BODY_BYTES) + asked(),
        ],
    )
    def test_a_missing_or_wrong_member_is_400004(self, body: bytes) -> None:
        told = credentials.problem(refused(body), "1234")
        assert (told.status, told.code, told.info) == (400, 400004, ())

    @pytest.mark.parametrize("body", [b'{"id": "lamp-1", "csr":', b"\xff", b"[" * 100_00])
    def test_what_is_not_json_is_400006(self, body: bytes) -> None:
        assert credentials.problem(refused(body), "1234").code == 400006

    def test_pem_is_taken_too(self) -> None:
        pem = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"
        assert credentials.parse_request(asked(csr=pem), LAMP).csr == pem

    @given(csr=st.binary(min_size=1, max_size=64), replace=st.sampled_from([None, "*", "abcd"]))
    def test_what_a_device_writes_is_read_back(self, csr: bytes, replace: str | None) -> None:
        import base64

        wanted = credentials.IssueCertificate(base64.b64encode(csr).decode(), replace)
        assert credentials.parse_request(credentials.request_body(LAMP, wanted), LAMP) == wanted

    @given(st.binary(max_size=200))
    def test_anything_else_is_refused_in_order(self, body: bytes) -> None:
        try:
            credentials.parse_request(body, LAMP)
        except AccreditError:
            return


class TestAnswers:
    def test_accepted(self) -> None:
        body = json.loads(credentials.accepted_body(Accepted("4.x.guid", "guid", "1234", NOW)))
        assert body == {"correlationId": "guid", "operationExpires": "2023-11-14T22:13:20.0000000Z"}

    def test_renewed(self) -> None:
        body = json.loads(credentials.renewed_body(Renewed("guid", (b"leaf", b"ca"))))
        assert body == {"correlationId": "guid", "certificates": ["bGVhZg==", "Y2E="]}

    def test_info_is_an_object_or_absent_and_the_code_a_number(self) -> None:
        """The C SDK insists on both."""
        told = credentials.problem(Malformed("No.", rule="renewal-request"), "1234")
        body = json.loads(credentials.problem_body(told, "track", NOW))
        assert body == {
            "errorCode": 400004,
            "message": "No.",
            "trackingId": "track",
            "timestampUtc": "2023-11-14T22:13:20.0000000Z",
        }

    def test_a_csr_that_does_not_pass(self) -> None:
        told = credentials.problem(Malformed("CSR.", rule="csr-signature"), "1234")
        body = json.loads(credentials.problem_body(told, "track", NOW))
        assert body["errorCode"] == 400037
        assert body["info"] == {
            "requestId": "1234",
            "credentialError": "400000",
            "credentialMessage": "CSR.",
        }

    @pytest.mark.parametrize(("begun", "code"), [(False, 409004), (True, 409005)])
    def test_busy(self, begun: bool, code: int) -> None:
        told = credentials.busy(Busy("guid", "1234", NOW, begun))
        assert (told.status, told.code) == (409, code)
        assert {name for name, _ in told.info} == {"requestId", "operationExpires", "correlationId"}

    def test_nothing_to_replace(self) -> None:
        told = credentials.nothing_to_replace("1234")
        assert (told.status, told.code, told.info) == (412, 412001, (("requestId", "1234"),))

    def test_how_an_operation_ends(self) -> None:
        failed = credentials.not_renewed(NotRenewed("guid", "1234", "The CA is down."))
        assert (failed.code, dict(failed.info)["credentialMessage"]) == (400040, "The CA is down.")
        replaced = credentials.not_renewed(NotRenewed("guid", "1234", "Newer.", superseded=True))
        assert replaced.code == 409004

    def test_when_to_come_back(self) -> None:
        throttled = Throttled("Slow.", rule="connection-requests", retry_after_s=7)
        body = json.loads(credentials.problem_body(credentials.problem(throttled, "1234"), "t", NOW))
        assert (body["errorCode"], body["retryAfter"]) == (429002, 7)

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_refusal_has_a_number(self, kind: type[AccreditError]) -> None:
        more = {"retry_after_s": 1} if kind in (Throttled, UpstreamUnavailable) else {}
        told = credentials.problem(kind("No.", rule="any", **more), "1234")
        assert 400 <= told.status < 600

    def test_the_rules_with_a_number_of_their_own_exist(self) -> None:
        assert credentials._BY_RULE.keys() <= RULES.keys()
