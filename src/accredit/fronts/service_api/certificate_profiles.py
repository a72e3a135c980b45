"""`/certificateProfiles`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.certificate_profiles import CertificateProfiles
from accredit.domain.ids import CertificateProfileName
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.endpoints import Endpoint
from accredit.fronts.service_api.gate import body_of
from accredit.policy.access import Call
from accredit.values import dataclass
from accredit.wire.service_api.certificate_profiles import (
    CertificateProfileDocument,
    certificate_profile_document,
    read_certificate_profile,
)
from accredit.wire.service_api.openapi import Described
from accredit.wire.service_api.schemas import CertificateProfileShown


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


def certificate_profile_endpoints(calls: CertificateProfileCalls) -> tuple[Endpoint, ...]:
    """Rows of the table in `routes.py`."""
    collection, one = "/certificateProfiles", "/certificateProfiles/{name}"
    return (
        Endpoint(
            "GET", collection, Call.LIST_CERTIFICATE_PROFILES, calls.listing,
            Described("List the certificate profiles.", answers=CertificateProfileShown, rows=True),
        ),
        Endpoint(
            "GET", one, Call.READ_CERTIFICATE_PROFILE, calls.read,
            Described("Show one certificate profile.", answers=CertificateProfileShown),
        ),
        Endpoint(
            "PUT", one, Call.WRITE_CERTIFICATE_PROFILE, calls.put,
            Described(
                "Create or replace one.", answers=CertificateProfileShown, takes=CertificateProfileDocument
            ),
        ),
        Endpoint(
            "DELETE", one, Call.DELETE_CERTIFICATE_PROFILE, calls.delete,
            Described("Remove one that no enrollment names."),
        ),
    )  # fmt: skip


def _name(request: Request) -> CertificateProfileName:
    return CertificateProfileName.parse(request.path_params["name"])
