"""`/registrations`, with our `move` and the query over all of them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.registrations import Registrations
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.registration import Registration
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import body_of
from accredit.values import dataclass
from accredit.wire.service_api.queries import read_query
from accredit.wire.service_api.registrations import read_move, registration_document
from accredit.wire.service_api.selectable import registration_fields


@dataclass(frozen=True, slots=True)
class RegistrationCalls:
    registrations: Registrations

    async def read(self, request: Request, _by: str) -> Response:
        registration = await self.registrations.read(_id(request))
        return document(await self._shown(registration), registration.etag)

    async def resume(self, request: Request, by: str) -> Response:
        registration = await self.registrations.resume(_id(request), by)
        return document(await self._shown(registration), registration.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.registrations.delete(_id(request), condition_of(request), by)
        return gone()

    async def move(self, request: Request, by: str) -> Response:
        registration_id = _id(request)
        target = read_move(await body_of(request), registration_id)
        moved = await self.registrations.move(registration_id, target, condition_of(request), by)
        return document(registration_document(moved), moved.etag)

    async def query_all(self, request: Request, _by: str) -> Response:
        return await self._query(request, None)

    async def query_group(self, request: Request, _by: str) -> Response:
        group = GroupId.parse(request.path_params["id"])
        return await self._query(request, EnrollmentRef(EnrollmentKind.GROUP, group.key))

    async def _query(self, request: Request, owner: EnrollmentRef | None) -> Response:
        condition = read_query(await body_of(request), "registrations", registration_fields)
        wanted = paging_of(request)
        found = await self.registrations.page(owner, condition, wanted)
        rows = [await self._shown(row) for row in found.rows]
        return page(rows, found.cursor, wanted, "deviceRegistration")

    async def _shown(self, registration: Registration) -> dict[str, Any]:
        return registration_document(registration, await self.registrations.setbacks(registration))


def _id(request: Request) -> RegistrationId:
    return RegistrationId.parse(request.path_params["id"])
