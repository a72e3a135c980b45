"""The application: how paths are matched, and what answers where no route does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from accredit.domain.errors import NotFound, Throttled
from accredit.fronts.https import application, https_front, lenient
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.logs import capture_logs
from support.tls_service import client_context, serving


async def shown(request: Request) -> Response:
    return JSONResponse({"method": request.method} | request.path_params)


async def tracked(request: Request) -> Response:
    return JSONResponse({"trackingId": request.scope["tracking_id"]})


async def broken(_: Request) -> Response:
    raise RuntimeError("the secret is hunter2")


async def breaks_half_way(_: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"half of it"
        raise RuntimeError("the secret is hunter2")

    return StreamingResponse(body(), headers={"content-length": "1000"})


async def absent(_: Request) -> Response:
    raise NotFound("There is no such enrollment.", rule="enrollment-unknown", hint="for the operator only")


async def throttled(_: Request) -> Response:
    raise Throttled("Too many registrations.", rule="quota", retry_after_s=7)


async def teapot(_: Request) -> Response:
    raise HTTPException(415)


ROUTES = [
    Route("/", shown),
    Route("/enrollmentGroups", shown, methods=["POST"]),
    Route("/enrollmentGroups/query", shown, methods=["POST"]),
    Route("/enrollmentGroups/{id}", shown, methods=["GET", "PUT", "DELETE"]),
    Route("/enrollmentGroups/{id}/attestationmechanism", shown, methods=["POST"]),
    Route("/{id_scope}/registrations/{registration_id}/register", shown, methods=["PUT"]),
    Route("/tracked", tracked),
    Route("/broken", broken),
    Route("/half", breaks_half_way),
    Route("/absent", absent),
    Route("/throttled", throttled),
    Route("/teapot", teapot),
]


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = application(ROUTES, HandClock(), CountedEntropy())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as http:
        yield http


class TestPaths:
    @pytest.mark.parametrize(
        ("method", "path", "expected"),
        [
            ("GET", "/", {}),
            ("POST", "/enrollmentGroups", {}),
            ("POST", "/enrollmentgroups/", {}),
            ("POST", "/ENROLLMENTGROUPS/Query", {}),
            ("GET", "/enrollmentgroups/Line-3", {"id": "Line-3"}),
            ("PUT", "/EnrollmentGroups/Line-3/", {"id": "Line-3"}),
            ("POST", "/enrollmentgroups/Line-3/attestationMechanism", {"id": "Line-3"}),
            ("GET", "/enrollmentGroups/a%3Ab", {"id": "a:b"}),
            (
                "PUT",
                "/0NE00ABC/Registrations/Dev-1/REGISTER",
                {"id_scope": "0NE00ABC", "registration_id": "Dev-1"},
            ),
        ],
    )
    async def test_literals_ignore_case_and_ids_keep_theirs(
        self, method: str, path: str, expected: dict[str, str]
    ) -> None:
        async with client() as http:
            answer = await http.request(method, path)
        assert answer.status_code == 200
        assert answer.json() == {"method": method} | expected

    @pytest.mark.parametrize("path", ["/enrollmentGroups//", "/enrollmentGroups/a/b", "/enrollmentGroupsX"])
    async def test_nothing_else_is_matched(self, path: str) -> None:
        async with client() as http:
            assert (await http.post(path)).status_code == 404

    def test_the_route_given_is_left_as_it_was(self) -> None:
        route = Route("/a/{id}", shown)
        copy = lenient(route)
        assert copy is not route
        assert route.path_regex.match("/A/x") is None
        assert copy.path_regex.match("/A/x") is not None


class TestErrors:
    async def test_an_unknown_path_is_404_in_azures_form(self) -> None:
        async with client() as http:
            answer = await http.get("/nowhere")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        body = answer.json()
        assert body["errorCode"] == 404001
        assert body["trackingId"] == answer.headers["x-ms-request-id"]
        assert body["message"] == "Not Found: GET /nowhere"
        assert body["timestampUtc"] == "2027-01-15T08:00:00.0000000Z"

    async def test_a_wrong_method_is_405_and_names_the_right_ones(self) -> None:
        async with client() as http:
            answer = await http.delete("/enrollmentGroups")
        assert answer.status_code == 405
        assert answer.json()["errorCode"] == 405001
        assert answer.headers["allow"] == "POST"

    async def test_a_refusal_that_a_route_did_not_catch_is_answered_without_its_hint(self) -> None:
        async with client() as http:
            answer = await http.get("/absent")
        assert (answer.status_code, answer.json()["errorCode"]) == (404, 404201)
        assert answer.json()["message"] == "There is no such enrollment."
        assert "operator" not in answer.text

    async def test_a_throttled_call_is_told_when_to_come_back(self) -> None:
        async with client() as http:
            answer = await http.get("/throttled")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")

    async def test_another_status_keeps_its_number(self) -> None:
        async with client() as http:
            assert (await http.get("/teapot")).json()["errorCode"] == 415001

    async def test_a_defect_is_500_and_keeps_its_text(self) -> None:
        async with client() as http:
            with capture_logs() as logs:
                answer = await http.get("/broken")
        assert answer.status_code == 500
        assert "hunter2" not in answer.text
        assert logs[0]["event"] == "http-call-failed"
        assert logs[0]["trackingId"] == answer.json()["trackingId"]
        assert "hunter2" in str(logs[0]["exc_info"])

    async def test_each_call_has_its_own_tracking_id(self) -> None:
        async with client() as http:
            first, second = [(await http.get("/tracked")).json()["trackingId"] for _ in range(2)]
        assert first != second
        assert len(first) == 36


class TestOverTLS:
    """The same application on its port."""

    @asynccontextmanager
    async def service(self) -> AsyncIterator[httpx.AsyncClient]:
        front = https_front(ROUTES, HandClock(), CountedEntropy())
        async with (
            serving(front.connection) as listener,
            httpx.AsyncClient(
                verify=client_context(), base_url=f"https://localhost:{listener.port}", trust_env=False
            ) as http,
        ):
            yield http

    async def test_calls_are_answered_on_one_connection(self) -> None:
        async with self.service() as http:
            for _ in range(3):
                answer = await http.put(
                    "/enrollmentGroups/x", json={"a": 1}, headers={"content-encoding": "utf-8"}
                )
                assert answer.json() == {"method": "PUT", "id": "x"}

    async def test_headers_are_lower_case_dated_and_name_no_server(self) -> None:
        async with self.service() as http:
            answer = await http.get("/nowhere")
        names = [name for name, _ in answer.headers.raw]
        assert all(name == name.lower() for name in names)
        assert b"server" not in names
        assert answer.headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
        assert json.loads(answer.content)["errorCode"] == 404001

    async def test_a_defect_half_way_ends_the_connection(self) -> None:
        with capture_logs() as logs:
            async with self.service() as http:
                with pytest.raises(httpx.RemoteProtocolError):
                    await http.get("/half")
        assert [each["event"] for each in logs] == ["http-call-failed", "http-server-fault"]
