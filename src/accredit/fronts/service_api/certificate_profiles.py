"""`/certificateProfiles`."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.certificate_profiles import CertificateProfiles
from accredit.domain.ids import CertificateProfileName
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import body_of
from accredit.wire.service_api.certificate_profiles import (
    certificate_profile_document,
    read_certificate_profile,
)


@dataclass(frozen=True, slots=True)
class CertificateProfileCalls:
    certificate_profiles: CertificateProfiles

    async def put(self, request: Request, by: str) -> Response:
        name = _name(request)
        profile = read_certificate_profile(await body_of(request), name)
        saved = await self.certificate_profiles.put(name, profile, condition_of(request), by)
        return document(certificate_profile_document(saved), saved.etag)

    async def read(self, request: Request, _by: str) -> Response:
        record = await self.certificate_profiles.read(_name(request))
        return document(certificate_profile_document(record), record.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.certificate_profiles.delete(_name(request), condition_of(request), by)
        return gone()

    async def listing(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.certificate_profiles.page(wanted)
        return page(
            [certificate_profile_document(row) for row in found.rows], found.cursor, wanted, "unknown"
        )


def _name(request: Request) -> CertificateProfileName:
    return CertificateProfileName.parse(request.path_params["name"])
