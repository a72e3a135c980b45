"""`/caCertificates` (an extension), with Azure's two steps of a proof of possession."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.ca_certificates import CaCertificates
from accredit.domain.ids import CaCertificateName
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import body_of
from accredit.values import dataclass
from accredit.wire.service_api.ca_certificates import (
    ca_certificate_document,
    read_ca_certificate,
    read_verification,
)


@dataclass(frozen=True, slots=True)
class CaCertificateCalls:
    ca_certificates: CaCertificates

    async def put(self, request: Request, by: str) -> Response:
        name = _name(request)
        sent = read_ca_certificate(await body_of(request))
        saved = await self.ca_certificates.put(name, sent, condition_of(request), by)
        return document(ca_certificate_document(saved), saved.etag)

    async def read(self, request: Request, _by: str) -> Response:
        record = await self.ca_certificates.read(_name(request))
        return document(ca_certificate_document(record), record.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.ca_certificates.delete(_name(request), condition_of(request), by)
        return gone()

    async def listing(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.ca_certificates.page(wanted)
        return page([ca_certificate_document(row) for row in found.rows], found.cursor, wanted, "unknown")

    async def make_code(self, request: Request, by: str) -> Response:
        record = await self.ca_certificates.make_code(_name(request), condition_of(request), by)
        return document(ca_certificate_document(record, code_shown=True), record.etag)

    async def verify(self, request: Request, by: str) -> Response:
        name = _name(request)
        shown = read_verification(await body_of(request))
        record = await self.ca_certificates.verify(name, shown, condition_of(request), by)
        return document(ca_certificate_document(record), record.etag)


def _name(request: Request) -> CaCertificateName:
    return CaCertificateName.parse(request.path_params["name"])
