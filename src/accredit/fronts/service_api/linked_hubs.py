"""`/linkedHubs` (an extension)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.linked_hubs import LinkedHubs
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import body_of
from accredit.values import dataclass
from accredit.wire.service_api.linked_hubs import hub_name, linked_hub_document, read_linked_hub


@dataclass(frozen=True, slots=True)
class LinkedHubCalls:
    linked_hubs: LinkedHubs

    async def put(self, request: Request, by: str) -> Response:
        sent = read_linked_hub(await body_of(request), _name(request))
        saved = await self.linked_hubs.put(sent, condition_of(request), by)
        return document(linked_hub_document(saved), saved.etag)

    async def read(self, request: Request, _by: str) -> Response:
        hub = await self.linked_hubs.read(_name(request))
        return document(linked_hub_document(hub), hub.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.linked_hubs.delete(_name(request), condition_of(request), by)
        return gone()

    async def listing(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.linked_hubs.listing()
        return page([linked_hub_document(hub) for hub in found], None, wanted, "unknown")


def _name(request: Request) -> str:
    return hub_name(request.path_params["name"])
