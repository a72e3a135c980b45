"""The service API under HTTP that is not what it should be: each is refused in JSON, with a number, and harms nothing.

Deadlines for heads and bodies that never end are tested with the connection itself (tests/unit/fronts/test_http_connection.py).
"""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from contextlib import suppress

import pytest

from accredit.domain.access import Realm
from support.channels import tls_socket
from support.http_transcript import HTTPAnswer, read_answers
from support.raw_device import sas_token
from support.running_service import RunningService

DOCUMENT = json.dumps({"registrationId": "bad-http", "attestation": {"type": "symmetricKey"}}).encode()


def _send(service: RunningService, line: str, body: bytes = b"", *fields: str) -> HTTPAnswer:
    policy = service.state.owner(Realm.PROVISIONING)
    token = f"{sas_token(service.host, b64encode(policy.primary.reveal()).decode())}&skn={policy.name}"
    head = [
        f"{line} HTTP/1.1",
        f"Host: {service.host}",
        f"Authorization: {token}",
        *fields,
        "Connection: close",
    ]
    if not any(field.lower().startswith(("content-length", "transfer-encoding")) for field in fields):
        head.append(f"Content-Length: {len(body)}")
    with tls_socket(service, service.https_port) as connection:
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body)
        received = b""
        with suppress(ssl.SSLEOFError, ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += chunk
    (answer,) = read_answers(received)
    return answer


def _refused(answer: HTTPAnswer, status: int) -> None:
    assert answer.status == status
    assert answer.document["errorCode"] // 1000 == status
    assert dict(answer.fields)["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("PATCH /enrollments/bad-http?api-version=2021-10-01", {"GET", "HEAD", "PUT", "DELETE"}),
        ("POST /enrollments/bad-http?api-version=2021-10-01", {"GET", "HEAD", "PUT", "DELETE"}),
        ("GET /enrollments?api-version=2021-10-01", {"POST"}),
        ("PUT /registrations/bad-http?api-version=2021-10-01", {"GET", "HEAD", "DELETE"}),
        ("DELETE /openapi.json", {"GET", "HEAD"}),
    ],
)
def test_another_method_is_405_with_all_that_are_allowed(
    service: RunningService, line: str, allowed: set[str]
) -> None:
    answer = _send(service, line)
    _refused(answer, 405)
    assert {each.strip() for each in dict(answer.fields)["allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "query", ["", "?", "?api-version=", "?api-version=2099-01-01", "?API-VERSION=2021-10-01"]
)
def test_without_a_known_api_version_it_is_400(service: RunningService, query: str) -> None:
    answer = _send(service, f"GET /enrollments/bad-http{query}")
    _refused(answer, 400)
    assert "api-version" in answer.document["message"]


def test_a_head_that_is_too_large_is_431(service: RunningService) -> None:
    line = "GET /enrollments/bad-http?api-version=2021-10-01"
    _refused(_send(service, line, b"", "X-Filler: " + "x" * 40_000), 431)
    _refused(_send(service, line, b"", *(f"X-{n}: 1" for n in range(150))), 431)


def test_a_body_that_is_too_large_is_refused(service: RunningService) -> None:
    line = "PUT /enrollments/bad-http?api-version=2021-10-01"
    _refused(_send(service, line, b" " * 100_000), 400)
    _refused(_send(service, line, b"", "Content-Length: 99999999"), 413)


@pytest.mark.parametrize("coding", ["utf-8", "UTF-8", "identity", "gzip"])
def test_a_content_encoding_means_nothing(service: RunningService, coding: str) -> None:
    answer = _send(
        service, "PUT /enrollments/bad-http?api-version=2021-10-01", DOCUMENT,
        f"Content-Encoding: {coding}", "If-Match: *",
    )  # fmt: skip
    assert answer.status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_a_content_type_means_nothing(service: RunningService, kind: str) -> None:
    """Azure's clients and curl send different ones, or none."""
    answer = _send(
        service,
        "PUT /enrollments/bad-http?api-version=2021-10-01",
        DOCUMENT,
        f"Content-Type: {kind}",
        "If-Match: *",
    )
    assert answer.status == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"registrationId":"bad-http"}' * 2, b"[" * 50_000]
)
def test_a_body_that_is_no_document_is_400(service: RunningService, body: bytes) -> None:
    _refused(_send(service, "PUT /enrollments/bad-http?api-version=2021-10-01", body), 400)


@pytest.mark.parametrize(
    "path",
    ["/enrollments/%00", "/enrollments/%2e%2e", "/enrollments/..%2f..", "/enrollments/%ff", "/nothing"],
)
def test_addresses_that_lead_nowhere(service: RunningService, path: str) -> None:
    answer = _send(service, f"GET {path}?api-version=2021-10-01")
    assert answer.status in (400, 404)
    assert answer.document["trackingId"]
