"""The service API from outside: the rights table, the etag table, the error body, the founding document's calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from accredit.administration.access import Access
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.fronts.service_api import routes
from accredit.interfaces import StoreUnavailable
from accredit.wire import sas
from accredit.wire.api_versions import API_VERSIONS
from support.logs import capture_logs
from support.service_side import (
    HOST,
    OWNER,
    VERSION,
    ServiceSide,
    opened,
)

DEV = EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1")
LINE = EnrollmentRef(EnrollmentKind.GROUP, "line-1")

BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/certificateAuthorities/ca-1"): {"certificateAuthorityType": "BuiltIn"},
    ("PUT", "/enrollments/dev-1"): {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}},
    ("PUT", "/enrollmentGroups/line-1"): {
        "enrollmentGroupId": "line-1",
        "attestation": {"type": "symmetricKey"},
    },
    ("POST", "/registrations/dev-1/move"): {"enrollmentGroupId": "line-1"},
}


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[ServiceSide]:
    """With an authority, an enrollment, a group and a registration of the enrollment."""
    async with opened(tmp_path) as service:
        await service.put("/certificateAuthorities/ca-1")
        await service.put("/enrollments/dev-1")
        await service.put("/enrollmentGroups/line-1")
        await service.register("dev-1", DEV)
        yield service


class TestRights:
    """Tokens that open nothing; `service_api/test_endpoints.py` has every address x every policy."""

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer eyJ",
            "Basic YTpi",
            "SharedAccessSignature",
            "SharedAccessSignature sr=dps.example",
            sas.make(HOST, b"wrong", 1_900_000_000, OWNER),
            sas.make(HOST, b"provisioning/provisioningserviceowner/1", 1_700_000_000, OWNER),
            sas.make("elsewhere", b"provisioning/provisioningserviceowner/1", 1_900_000_000, OWNER),
            sas.make(HOST, b"provisioning/provisioningserviceowner/1", 1_900_000_000, None),
            sas.make(HOST, b"provisioning/provisioningserviceowner/1", 1_900_000_000, "nobody"),
        ],
    )
    async def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(
        self, side: ServiceSide, header: str | None
    ) -> None:
        headers = {} if header is None else {"Authorization": header}
        answer = await side.client.get(f"/enrollments/dev-1?api-version={VERSION}", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["message"] == "Unauthorized"
        assert answer.json()["errorCode"] == 401002

    async def test_a_narrower_scope_opens_only_what_is_below_it(self, side: ServiceSide) -> None:
        key = b"provisioning/provisioningserviceowner/2"
        shown = {"Authorization": sas.make(f"https://{HOST}:443/enrollments", key, 1_900_000_000, OWNER)}
        assert (await side.call("GET", "/enrollments/dev-1", headers=shown)).status_code == 200
        assert (await side.call("GET", "/enrollmentGroups/line-1", headers=shown)).status_code == 401

    async def test_a_stranger_is_refused_before_anything_is_read(self, side: ServiceSide) -> None:
        answer = await side.client.put("/enrollments/bad id?x", content=b"x" * 200_000)
        assert answer.status_code == 401

    async def test_long_lived_tokens_are_refused_where_the_operator_says_so(self, side: ServiceSide) -> None:
        access = Access(side.store, side.clock, (HOST,), max_lifetime_s=600, refuse_longer=True)
        app = Starlette(routes=routes(side.administration, access, side.clock, _no_entropy()))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=f"https://{HOST}"
        ) as client:
            shown = {"Authorization": side.token()}
            refused = await client.get(f"/enrollments/dev-1?api-version={VERSION}", headers=shown)
            assert refused.status_code == 401
            side.clock.advance(3000)
            opened = await client.get(f"/enrollments/dev-1?api-version={VERSION}", headers=shown)
            assert opened.status_code == 200


RESOURCES = ("/certificateAuthorities", "/enrollments", "/enrollmentGroups")


class TestEtags:
    """The contract's table, on every resource."""

    @pytest.mark.parametrize("resource", RESOURCES)
    @pytest.mark.parametrize(
        ("condition", "exists", "absent"),
        [
            (None, 409, 200),
            ("*", 200, 200),
            ('"*"', 200, 200),
            ("its own", 200, 412),
            ("its own, unquoted", 200, 412),
            ("its own, weak", 200, 412),
            ("its own, as in the document", 200, 412),
            ('"another"', 412, 412),
            ("another", 412, 412),
            ("", 412, 412),
        ],
    )
    async def test_put(
        self, side: ServiceSide, resource: str, condition: str | None, exists: int, absent: int
    ) -> None:
        first = await side.put(f"{resource}/thing")
        assert first.status_code == 200
        answer = await side.put(f"{resource}/thing", etag=_condition(condition, first))
        assert answer.status_code == exists
        if exists == 200:
            assert answer.json()["etag"] != first.json()["etag"]
            assert answer.headers["etag"] == answer.json()["etag"]
        else:
            assert (await side.call("GET", f"{resource}/thing")).headers["etag"] == first.headers["etag"]
        other = await side.put(f"{resource}/other", etag=_condition(condition, first))
        assert other.status_code == absent
        found = await side.call("GET", f"{resource}/other")
        assert found.status_code == (200 if absent == 200 else 404)

    @pytest.mark.parametrize("resource", [*RESOURCES, "/registrations"])
    @pytest.mark.parametrize(
        ("condition", "exists", "absent"),
        [
            (None, 204, 404),
            ("*", 204, 404),
            ('"*"', 204, 404),
            ("its own", 204, 412),
            ("its own, unquoted", 204, 412),
            ("its own, weak", 204, 412),
            ("its own, as in the document", 204, 412),
            ('"another"', 412, 412),
            ("", 412, 412),
        ],
    )
    async def test_delete(
        self, side: ServiceSide, resource: str, condition: str | None, exists: int, absent: int
    ) -> None:
        if resource == "/registrations":
            await side.register("thing", LINE)
        else:
            await side.put(f"{resource}/thing")
        first = await side.call("GET", f"{resource}/thing")
        etag = _condition(condition, first)
        assert (await side.call("DELETE", f"{resource}/absent", etag=etag)).status_code == absent
        assert (await side.call("DELETE", f"{resource}/thing", etag=etag)).status_code == exists
        left = await side.call("GET", f"{resource}/thing")
        assert left.status_code == (404 if exists == 204 else 200)

    @pytest.mark.parametrize("resource", RESOURCES)
    async def test_of_two_writers_who_read_the_same_one_wins(self, side: ServiceSide, resource: str) -> None:
        etag = (await side.put(f"{resource}/thing")).json()["etag"]
        answers = await asyncio.gather(*(side.put(f"{resource}/thing", etag=etag) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]

    @pytest.mark.parametrize("resource", RESOURCES)
    async def test_of_two_creators_one_wins(self, side: ServiceSide, resource: str) -> None:
        answers = await asyncio.gather(*(side.put(f"{resource}/thing") for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]

    @pytest.mark.parametrize("resource", RESOURCES)
    async def test_writers_who_do_not_care_all_win(self, side: ServiceSide, resource: str) -> None:
        answers = await asyncio.gather(*(side.put(f"{resource}/thing", etag="*") for _ in range(4)))
        assert [answer.status_code for answer in answers] == [200] * 4


def _condition(condition: str | None, first: httpx.Response) -> str | None:
    shown = first.json()["etag"]
    return {
        "its own": shown,
        "its own, unquoted": shown.strip('"'),
        "its own, weak": f"W/{shown}",
        "its own, as in the document": first.json()["etag"],
    }.get(condition or "", condition)


class TestCalls:
    @pytest.mark.parametrize("version", sorted(API_VERSIONS))
    async def test_every_known_version_is_served(self, side: ServiceSide, version: str) -> None:
        shown = {"Authorization": side.token()}
        answer = await side.client.get(f"/enrollments/dev-1?api-version={version}", headers=shown)
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "query", ["", "?api-version=", "?api-version=1999-01-01", "?apiversion=2021-10-01"]
    )
    async def test_no_version_and_unknown_ones(self, side: ServiceSide, query: str) -> None:
        shown = {"Authorization": side.token()}
        answer = await side.client.get(f"/enrollments/dev-1{query}", headers=shown)
        assert answer.status_code == 400
        assert "api-version" in answer.json()["message"]

    async def test_the_founding_documents_calls(self, side: ServiceSide) -> None:
        shown = {
            "Content-Type": "application/json",
            "Content-Encoding": "utf-8",
            "Authorization": side.token(),
        }
        authority = await side.client.put(
            f"/certificateAuthorities/myca1?api-version={VERSION}",
            headers=shown,
            content=b'{"certificateAuthorityType":"DigiCertCertificateAuthority","apiKey":"k3y","profileName":"p-1"}',
        )
        assert authority.status_code == 200
        enrollment = await side.client.put(
            f"/enrollments/mydevice1?api-version={VERSION}",
            headers={**shown, "If-Match": "*"},
            content=b'{ "registrationId": "mydevice1", "attestation": { "type": "symmetricKey" }, '
            b'"clientCertificateIssuancePolicy": {"certificateAuthorityName":"myca1"} }',
        )
        assert enrollment.status_code == 200
        assert enrollment.json()["clientCertificateIssuancePolicy"] == {"certificateAuthorityName": "myca1"}
        assert len(enrollment.json()["attestation"]["symmetricKey"]["primaryKey"]) == 44
        group = await side.client.put(
            f"/enrollmentGroups/mygroup?api-version={VERSION}",
            headers={**shown, "If-Match": "*"},
            content=b'{ "enrollmentGroupId": "mygroup", "attestation": { "type": "symmetricKey" },'
            b'"clientCertificateIssuancePolicy": {"certificateAuthorityName":"myca1"}}',
        )
        assert group.status_code == 200

    async def test_attestationmechanism_takes_an_empty_body_without_a_type(self, side: ServiceSide) -> None:
        answer = await side.call(
            "POST", "/enrollments/dev-1/attestationmechanism", headers={"Content-Length": "0"}
        )
        assert answer.status_code == 200
        assert set(answer.json()["symmetricKey"]) == {"primaryKey", "secondaryKey"}

    async def test_a_body_without_an_end(self, side: ServiceSide) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            sent = 0
            while True:
                assert sent < 200_000, "the service reads on"
                sent += 10_000
                yield b"x" * 10_000

        answer = await side.client.put(
            f"/enrollments/dev-2?api-version={VERSION}",
            headers={"Authorization": side.token()},
            content=chunks(),
        )
        assert answer.status_code == 400

    async def test_ids_in_addresses_are_decoded_and_compared_without_case(self, side: ServiceSide) -> None:
        assert (await side.put("/enrollments/a:B")).status_code == 200
        assert (await side.call("GET", "/enrollments/A%3Ab")).json()["registrationId"] == "a:B"
        assert (await side.call("GET", "/enrollments/a%20b")).status_code == 400

    async def test_ids_differ_where_kinds_do(self, side: ServiceSide) -> None:
        assert (await side.call("GET", "/enrollmentGroups/dev-1")).status_code == 404
        assert (await side.call("GET", "/enrollments/line-1")).status_code == 404

    @pytest.mark.parametrize(
        ("path", "item_type"),
        [
            ("/enrollments/query", "enrollment"),
            ("/enrollmentGroups/query", "enrollmentGroup"),
            ("/registrations/query", "deviceRegistration"),
        ],
    )
    async def test_query_headers_are_lower_case(self, side: ServiceSide, path: str, item_type: str) -> None:
        answer = await side.call("POST", path, headers={"x-ms-max-item-count": "1"})
        names = [name for name, _ in answer.headers.raw]
        assert b"x-ms-item-type" in names
        assert b"x-ms-max-item-count" in names
        assert answer.headers["x-ms-item-type"] == item_type
        assert len(answer.json()) == 1

    @pytest.mark.parametrize(
        ("method", "resource", "key"),
        [
            ("POST", "/enrollments/query", "registrationId"),
            ("POST", "/enrollmentGroups/query", "enrollmentGroupId"),
            ("GET", "/certificateAuthorities", "name"),
        ],
    )
    async def test_paging_shows_everything_once(
        self, side: ServiceSide, method: str, resource: str, key: str
    ) -> None:
        base = resource.removesuffix("/query")
        names = {f"Thing-{n}" for n in range(7)}
        for name in names:
            await side.put(f"{base}/{name}")
        seen: list[str] = []
        headers = {"x-ms-max-item-count": "3"}
        while True:
            answer = await side.call(method, resource, headers=headers)
            assert answer.headers["x-ms-max-item-count"] == "3"
            seen += [row[key] for row in answer.json()]
            if "x-ms-continuation" not in answer.headers:
                break
            assert len(answer.json()) == 3
            headers["x-ms-continuation"] = answer.headers["x-ms-continuation"]
        assert len(seen) == len(set(seen)) == 8
        assert names < set(seen)

    @pytest.mark.parametrize("sent", ["!", "AA==", "Li4vLi4=", "eA=="])
    async def test_a_continuation_from_elsewhere_is_no_defect(self, side: ServiceSide, sent: str) -> None:
        for method, path in (
            ("POST", "/enrollments/query"),
            ("POST", "/registrations/query"),
            ("GET", "/certificates"),
            ("GET", "/issuanceLog/leaves"),
            ("GET", "/certificateAuthorities"),
        ):
            answer = await side.call(method, path, headers={"x-ms-continuation": sent})
            assert answer.status_code in (200, 400), path


class TestWebhooks:
    """Whoever writes enrollments may keep a webhook, but to set, change or remove one needs ServiceConfig too."""

    HOOK = {"webhookUrl": "https://hook.example/x", "apiVersion": "2021-10-01"}
    LEAST = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}

    async def put(self, side: ServiceSide, policy: str, **members: Any) -> int:
        body = {**self.LEAST, **members}
        answer = await side.call("PUT", "/enrollments/dev-1", body, policy=policy, etag="*")
        return answer.status_code

    @pytest.mark.parametrize("member", ["customAllocationDefinition", "preRegistrationWebhook"])
    async def test_who_may(self, side: ServiceSide, member: str) -> None:
        assert await self.put(side, "EnrollmentWrite", **{member: self.HOOK}) == 401
        assert await self.put(side, OWNER, **{member: self.HOOK}) == 200
        assert await self.put(side, "EnrollmentWrite", **{member: self.HOOK}) == 200
        moved = {**self.HOOK, "webhookUrl": "https://other.example/"}
        signed = {**self.HOOK, "secret": "s" * 20}
        for other in (moved, signed, None):
            assert await self.put(side, "EnrollmentWrite", **{member: other}) == 401
        shown = await side.call("GET", "/enrollments/dev-1")
        assert shown.json()[member] == self.HOOK

    async def test_in_bulk_too(self, side: ServiceSide) -> None:
        sent = {"mode": "update", "enrollments": [{**self.LEAST, "preRegistrationWebhook": self.HOOK}]}
        answer = await side.call("POST", "/enrollments", sent, policy="EnrollmentWrite")
        assert answer.json()["isSuccessful"] is False
        assert "preRegistrationWebhook" not in (await side.call("GET", "/enrollments/dev-1")).json()
        answer = await side.call("POST", "/enrollments", sent)
        assert answer.json()["isSuccessful"] is True

    async def test_its_secret_is_kept_and_never_shown(self, side: ServiceSide) -> None:
        secret = "a secret of many characters"
        await self.put(side, OWNER, customAllocationDefinition={**self.HOOK, "secret": secret})
        await self.put(side, OWNER, customAllocationDefinition=self.HOOK)
        kept = await side.store.enrollment(DEV)
        assert kept is not None
        assert kept.secrets["customAllocationDefinition"].reveal() == secret.encode()
        shown = await side.call("GET", "/enrollments/dev-1")
        assert secret not in shown.text
        await self.put(side, OWNER)
        assert (await side.store.enrollment(DEV)).secrets == {}  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("members", "said"),
        [
            (
                {"allocationRule": [{"hub": "gone.example"}]},
                "allocationRule names 'gone.example', which is not linked",
            ),
            ({"preRegistrationWebhook": {"webhookUrl": "https://user@hook.example/"}}, "can't be called"),
            ({"allocationPolicy": "custom"}, "customAllocationDefinition.webhookUrl"),
        ],
    )
    async def test_what_could_not_be_used_is_not_stored(
        self, side: ServiceSide, members: dict[str, Any], said: str
    ) -> None:
        answer = await side.call("PUT", "/enrollments/dev-1", {**self.LEAST, **members}, etag="*")
        assert answer.status_code == 400
        assert said in answer.json()["message"]


class TestSecrets:
    async def test_keys_are_shown_by_put_and_attestationmechanism_alone(self, side: ServiceSide) -> None:
        for base in ("/enrollments", "/enrollmentGroups"):
            put = await side.put(f"{base}/secret")
            key = put.json()["attestation"]["symmetricKey"]["primaryKey"]
            reveal = await side.call("POST", f"{base}/secret/attestationmechanism")
            assert reveal.json() == put.json()["attestation"]
            read = await side.call("GET", f"{base}/secret")
            assert read.json()["attestation"] == {"type": "symmetricKey"}
            query = await side.call("POST", f"{base}/query")
            for answer in (read, query):
                assert key not in answer.text

    async def test_an_api_key_is_never_shown(self, side: ServiceSide) -> None:
        members = {
            "certificateAuthorityType": "DigiCertCertificateAuthority",
            "apiKey": "HUSH-HUSH",
            "profileName": "p",
        }
        answers = [
            await side.put("/certificateAuthorities/digi", **members),
            await side.put("/certificateAuthorities/digi", etag="*", **members),
            await side.put("/certificateAuthorities/digi", **members),
            await side.call("GET", "/certificateAuthorities/digi"),
            await side.call("GET", "/certificateAuthorities"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 409, 200, 200]
        for answer in answers:
            assert "HUSH" not in answer.text
            assert "apiKey" not in answer.text

    async def test_the_key_of_a_ca_is_never_shown(self, side: ServiceSide) -> None:
        for path in ("/certificateAuthorities/ca-1", "/certificateAuthorities"):
            answer = await side.call("GET", path)
            assert "BEGIN CERTIFICATE" in answer.text
            assert "Key" not in answer.text


class TestLog:
    async def test_one_line_for_each_change_says_who_and_what(self, side: ServiceSide) -> None:
        await side.put("/enrollmentGroups/line-2")
        changes = (
            (
                "PUT",
                "/certificateAuthorities/ca-2",
                {"certificateAuthorityType": "BuiltIn"},
                "authority-saved",
            ),
            (
                "PUT",
                "/enrollments/dev-2",
                BODIES["PUT", "/enrollments/dev-1"] | {"registrationId": "dev-2"},
                "enrollment-saved",
            ),
            ("POST", "/registrations/dev-1/move", {"enrollmentGroupId": "line-2"}, "registration-moved"),
            ("DELETE", "/registrations/dev-1", None, "registration-deleted"),
            ("DELETE", "/enrollments/dev-2", None, "enrollment-deleted"),
            ("DELETE", "/certificateAuthorities/ca-2", None, "authority-deleted"),
        )
        for method, path, body, event in changes:
            with capture_logs() as lines:
                await side.call(method, path, body)
            assert [(line["event"], line["by"]) for line in lines] == [(event, OWNER)]

    async def test_a_refusal_says_what_the_caller_is_not_told(self, side: ServiceSide) -> None:
        with capture_logs() as lines:
            answer = await side.call("DELETE", "/enrollments/dev-1", policy="EnrollmentRead")
        assert answer.status_code == 401
        assert [(line["event"], line["rule"]) for line in lines] == [
            ("service-call-refused", "right-missing")
        ]
        assert lines[0]["trackingId"] == answer.headers["x-ms-request-id"]
        assert "EnrollmentRead" in lines[0]["evidence"]

    async def test_no_secret_reaches_a_line(self, side: ServiceSide) -> None:
        key = "S0VZS0VZS0VZS0VZS0VZS0VZ"
        with capture_logs() as lines:
            for size in ("", "A"):
                keys = {"primaryKey": key, "secondaryKey": key + size}
                await side.put(
                    "/enrollments/dev-3", attestation={"type": "symmetricKey", "symmetricKey": keys}
                )
            members = {"apiKey": "HUSH", "certificateAuthorityType": "DigiCertCertificateAuthority"}
            await side.put("/certificateAuthorities/digi", **members)
            await side.put("/certificateAuthorities/digi", profileName="p", **members)
            await side.call("POST", "/enrollments/dev-3/attestationmechanism")
        assert len(lines) == 4
        assert key not in str(lines)
        assert "HUSH" not in str(lines)


class _Failing:
    """A store that can't, or won't."""

    def __init__(self, store: Any, failure: Exception) -> None:
        self._store = store
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def policy(self, *_: Any) -> Any:
        raise self._failure


class TestFailures:
    async def test_a_store_that_cannot_answer_is_a_503_with_a_time_to_come_back(
        self, side: ServiceSide
    ) -> None:
        answer = await self._call(side, StoreUnavailable("disk full at /secret/place"))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "/secret/place" not in answer.text

    async def test_a_defect_says_nothing_about_itself(self, side: ServiceSide) -> None:
        answer = await self._call(side, RuntimeError("the secret of the defect"))
        assert answer.status_code == 500
        assert json.loads(answer.content)["errorCode"] // 1000 == 500
        assert answer.headers["x-ms-error-code"]
        assert answer.headers["x-ms-request-id"]
        assert "secret" not in answer.text

    async def _call(self, side: ServiceSide, failure: Exception) -> httpx.Response:
        access = Access(_Failing(side.store, failure), side.clock, (HOST,))
        app = Starlette(routes=routes(side.administration, access, side.clock, _no_entropy()))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=f"https://{HOST}"
        ) as client:
            return await client.get(
                f"/enrollments/dev-1?api-version={VERSION}", headers={"Authorization": side.token()}
            )


class _NoEntropy:
    def token(self, size: int) -> bytes:
        return b"\x00" * size


def _no_entropy() -> _NoEntropy:
    return _NoEntropy()
