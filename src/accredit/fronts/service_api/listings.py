"""`/certificates` and `/issuanceLog/leaves` (extensions)."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.listings import Listings
from accredit.domain.ids import AuthorityName, RegistrationId
from accredit.fronts.service_api.answers import document, page, paging_of
from accredit.interfaces import Clock
from accredit.wire.service_api.issuance_log import certificate_document, leaf_document, read_serial


@dataclass(frozen=True, slots=True)
class ListingCalls:
    listings: Listings
    clock: Clock

    async def certificates(self, request: Request, _by: str) -> Response:
        text = request.query_params.get("registrationId")
        wanted = paging_of(request)
        found = await self.listings.certificates(RegistrationId.parse(text) if text else None, wanted)
        now = self.clock.now()
        return page([certificate_document(row, now) for row in found.rows], found.cursor, wanted, "unknown")

    async def certificate(self, request: Request, _by: str) -> Response:
        text = request.query_params.get("authority")
        authority = AuthorityName.parse(text) if text else None
        record = await self.listings.certificate(read_serial(request.path_params["serial"]), authority)
        return document(certificate_document(record, self.clock.now()))

    async def leaves(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.listings.leaves(wanted)
        return page([leaf_document(row) for row in found.rows], found.cursor, wanted, "unknown")
