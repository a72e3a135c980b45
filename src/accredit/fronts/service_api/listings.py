"""`/certificates`, what is told of them as a whole, and `/issuanceLog/leaves` (extensions)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.listings import Listings
from accredit.domain.errors import Malformed
from accredit.domain.ids import AuthorityName, RegistrationId
from accredit.fronts.service_api.answers import document, page, paging_of
from accredit.interfaces import Clock
from accredit.values import dataclass
from accredit.wire.service_api.custody import DEFAULT_DAYS, MAX_DAYS, forecast_rows, orphan_document
from accredit.wire.service_api.issuance_log import certificate_document, leaf_document, read_serial
from accredit.wire.service_api.queries import Paging

_MAX_DIGITS = 6


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

    async def forecast(self, request: Request, _by: str) -> Response:
        text = request.query_params.get("days", str(DEFAULT_DAYS))
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and 0 < int(text) <= MAX_DAYS):
            raise Malformed(f"days is not a number from 1 to {MAX_DAYS}.", rule="query-parameter")
        today = int(self.clock.now()) // 86_400
        rows = forecast_rows(await self.listings.endings(today), today, int(text))
        return page(rows, None, Paging(len(rows)), "unknown")

    async def orphans(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.listings.orphans(wanted)
        return page([orphan_document(row) for row in found.rows], found.cursor, wanted, "unknown")

    async def leaves(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.listings.leaves(wanted)
        return page([leaf_document(row) for row in found.rows], found.cursor, wanted, "unknown")
