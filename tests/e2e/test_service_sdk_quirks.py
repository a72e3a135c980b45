"""What the service SDKs need of the service API and would break without, on the wire, header by header.

Each need is taken from a client's source (named in each test). Python's and Node's service SDKs run for real elsewhere; the
C#, Java and C ones can't run here.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest

from accredit.domain.access import Realm
from support.channels import tls_socket
from support.enrolling import symmetric_group, symmetric_individual
from support.http_transcript import HTTPAnswer, read_answers
from support.raw_device import sas_token
from support.running_service import RunningService


def call(
    service: RunningService,
    method: str,
    path: str,
    body: Any = None,
    version: str = "2021-10-01",
    **fields: str,
) -> HTTPAnswer:
    """One call as the owner, its answer with the names of headers as they were written."""
    policy = service.state.owner(Realm.PROVISIONING)
    token = f"{sas_token(service.host, b64encode(policy.primary.reveal()).decode())}&skn={policy.name}"
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path}?api-version={version} HTTP/1.1",
        f"Host: {service.host}",
        f"Authorization: {token}",
        f"Content-Length: {len(content)}",
        *(["Content-Type: application/json"] if content else []),
        *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items()),
        "Connection: close",
    ]
    with tls_socket(service, service.https_port) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
        received = b""
        with suppress(ssl.SSLEOFError):
            while chunk := connection.recv(65_536):
                received += chunk
    (answer,) = read_answers(received)
    return answer


def individual(name: str, **members: Any) -> dict[str, Any]:
    return {"registrationId": name, "attestation": {"type": "symmetricKey"}, **members}


def group(name: str, **members: Any) -> dict[str, Any]:
    return {"enrollmentGroupId": name, "attestation": {"type": "symmetricKey"}, **members}


class TestStatuses:
    @pytest.mark.parametrize(
        ("collection", "document"), [("enrollments", individual), ("enrollmentGroups", group)]
    )
    def test_put_is_200_for_both_and_delete_204(
        self, service: RunningService, name: str, collection: str, document: Any
    ) -> None:
        """Checklist 8: provisioning_service_client.py and individual_enrollment_operations.py raise for any other status."""
        path = f"/{collection}/{name}"
        created = call(service, "PUT", path, document(name))
        assert created.status == 200
        replaced = call(service, "PUT", path, document(name), if_match=created.document["etag"])
        assert replaced.status == 200
        deleted = call(service, "DELETE", path, if_match=replaced.document["etag"])
        assert (deleted.status, deleted.body) == (204, b"")


class TestQueries:
    @pytest.mark.parametrize(
        ("path", "body", "item_type"),
        [
            ("/enrollments/query", {"query": "SELECT * FROM enrollments"}, "enrollment"),
            ("/enrollmentGroups/query", {"query": "SELECT * FROM enrollmentGroups"}, "enrollmentGroup"),
            ("/registrations/{group}/query", None, "deviceRegistration"),
        ],
    )
    def test_headers_are_lower_case_and_name_a_type(
        self, service: RunningService, name: str, path: str, body: Any, item_type: str
    ) -> None:
        """Checklist 9: QueryResult.cs parses x-ms-item-type as an enum, Query.cs looks both up in a case-sensitive map."""
        for thing in (name, f"{name}-2"):
            symmetric_individual(service, thing)
            symmetric_group(service, thing)
        answer = call(service, "POST", path.format(group=name), body, x_ms_max_item_count="1")
        assert answer.status == 200
        fields = dict(answer.fields)
        assert fields["x-ms-item-type"] == item_type
        assert isinstance(answer.document, list)
        assert ("x-ms-continuation" in fields) == (len(answer.document) == 1)

    def test_the_last_page_has_no_continuation(self, service: RunningService, name: str) -> None:
        """Checklist 9: query.js of azure-iot-provisioning-service goes on for ever at a blank one."""
        symmetric_group(service, name)
        answer = call(service, "POST", f"/registrations/{name}/query")
        assert answer.document == []
        assert "x-ms-continuation" not in answer.headers


class TestAddresses:
    @pytest.mark.parametrize(
        ("method", "written", "plain"),
        [
            ("POST", "/enrollments/", "/enrollments"),
            ("POST", "/enrollmentGroups/", "/enrollmentGroups"),
            ("GET", "/enrollments/{name}/", "/enrollments/{name}"),
            (
                "POST",
                "/enrollmentgroups/{name}/attestationmechanism",
                "/enrollmentGroups/{name}/attestationmechanism",
            ),
            ("GET", "/ENROLLMENTS/{name}", "/enrollments/{name}"),
        ],
    )
    def test_a_slash_at_the_end_and_another_case_lead_to_the_same(
        self, service: RunningService, name: str, method: str, written: str, plain: str
    ) -> None:
        """Checklist 11: provisioningserviceclient.js and provisioning_service_client.c post bulk to `/enrollments/`; Node asks `enrollmentgroups`."""
        symmetric_individual(service, name)
        symmetric_group(service, name)
        body = {"mode": "create", "enrollments": []} if plain.count("/") == 1 else None
        answers = [call(service, method, path.format(name=name), body) for path in (written, plain)]
        told = [(each.status, {**each.document, "trackingId": "", "timestampUtc": ""}) for each in answers]
        assert told[0] == told[1]
        assert answers[0].status != 404

    def test_an_id_is_percent_encoded(self, service: RunningService, name: str) -> None:
        """ContractApiHttp.cs encodes by WebUtility.UrlEncode: a colon becomes %3A (checklist 11)."""
        symmetric_individual(service, f"{name}:x")
        assert call(service, "GET", f"/enrollments/{name}%3Ax").document["registrationId"] == f"{name}:x"

    def test_attestationmechanism_has_no_body_and_no_type(self, service: RunningService, name: str) -> None:
        """Clients send Content-Length 0 and no Content-Type; it is no 411 and no 415 (checklist 11, provisioningserviceclient.js)."""
        symmetric_individual(service, name)
        assert call(service, "POST", f"/enrollments/{name}/attestationmechanism").status == 200


class TestEtags:
    @pytest.mark.parametrize("quoted", [True, False], ids=["as read", "bare"])
    def test_an_etag_goes_back_as_it_was_read(self, service: RunningService, name: str, quoted: bool) -> None:
        """Checklist 12: Node sends the JSON value verbatim; ContractApiHttp.cs adds quotes where there are none."""
        created = call(service, "PUT", f"/enrollments/{name}", individual(name)).document
        etag = created["etag"] if quoted else created["etag"].strip('"')
        again = call(service, "PUT", f"/enrollments/{name}", {**created, "deviceId": "other"}, if_match=etag)
        assert (again.status, again.document["deviceId"]) == (200, "other")
        assert again.document["etag"] != created["etag"]
        late = call(service, "PUT", f"/enrollments/{name}", created, if_match=etag)
        assert late.status == 412

    def test_an_etag_is_one_quoted_word(self, service: RunningService, name: str) -> None:
        """Checklist 12: EntityTagHeaderValue (ContractApiHttp.cs) takes no quotes or spaces inside."""
        answer = call(service, "PUT", f"/enrollments/{name}", individual(name))
        etag = answer.document["etag"]
        assert etag[0] == etag[-1] == '"'
        assert etag[1:-1].isalnum()


class TestDates:
    @pytest.mark.parametrize("version", ["2018-04-01", "2018-09-01-preview", "2019-03-31", "2021-10-01"])
    def test_each_clients_version_gets_dates_it_can_read(
        self, service: RunningService, name: str, version: str
    ) -> None:
        """Checklist 20: msrest (models of provisioning_service_client.py) reads ISO 8601 with Z alone."""
        symmetric_individual(service, name)
        enrollment = call(service, "GET", f"/enrollments/{name}", version=version).document
        for member in ("createdDateTimeUtc", "lastUpdatedDateTimeUtc"):
            assert enrollment[member].endswith("Z")
            assert enrollment[member][10] == "T"
