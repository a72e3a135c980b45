"""`/decisionTraces`, and the list of registration ids that a group is open to (extensions)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.allowed import AllowedRegistrations
from accredit.administration.traces import DecisionTraces
from accredit.domain.ids import GroupId, RegistrationId
from accredit.fronts.service_api.answers import document, gone, page, paging_of
from accredit.fronts.service_api.endpoints import Endpoint
from accredit.fronts.service_api.gate import body_of
from accredit.policy.access import Call
from accredit.values import dataclass
from accredit.wire.service_api.allowed import AllowedDocument, allowed_document, read_allowed
from accredit.wire.service_api.openapi import Described, Parameter
from accredit.wire.service_api.schemas import AllowedShown, TraceShown
from accredit.wire.service_api.traces import trace_document


@dataclass(frozen=True, slots=True)
class RefusalCalls:
    traces: DecisionTraces
    allowed: AllowedRegistrations

    async def read_trace(self, request: Request, _by: str) -> Response:
        return document(trace_document(await self.traces.read(request.path_params["trackingId"])))

    async def list_traces(self, request: Request, _by: str) -> Response:
        text = request.query_params.get("registrationId")
        wanted = paging_of(request)
        found = await self.traces.page(RegistrationId.parse(text) if text else None, wanted)
        return page([trace_document(row) for row in found.rows], found.cursor, wanted, "unknown")

    async def list_allowed(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.allowed.page(_group(request), wanted)
        return page([allowed_document(row) for row in found.rows], found.cursor, wanted, "unknown")

    async def change_allowed(self, request: Request, by: str) -> Response:
        group = _group(request)
        add, remove = read_allowed(await body_of(request))
        await self.allowed.change(group, add, remove, by)
        return gone()


def _group(request: Request) -> GroupId:
    return GroupId.parse(request.path_params["id"])


def refusal_endpoints(calls: RefusalCalls) -> tuple[Endpoint, ...]:
    """Their rows of the table."""
    allowed = "/enrollmentGroups/{id}/allowedRegistrationIds"
    registration_id = Parameter("registrationId", "query", "Only this registration's.")
    return (
        Endpoint(
            "GET", "/decisionTraces", Call.LIST_TRACES, calls.list_traces,
            Described(
                "List why devices were refused.",
                answers=TraceShown, rows=True, parameters=(registration_id,),
            ),
        ),
        Endpoint(
            "GET", "/decisionTraces/{trackingId}", Call.READ_TRACE, calls.read_trace,
            Described("Show why one call of a device was refused.", answers=TraceShown),
        ),
        Endpoint(
            "GET", allowed, Call.READ_ALLOWED, calls.list_allowed,
            Described("List the registration ids that may prove a group.", answers=AllowedShown, rows=True),
        ),
        Endpoint(
            "POST", allowed, Call.CHANGE_ALLOWED, calls.change_allowed,
            Described("Put registration ids on a group's list, or take them off.", takes=AllowedDocument),
        ),
    )  # fmt: skip
