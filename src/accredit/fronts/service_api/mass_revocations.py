"""`/enrollmentGroups/{id}/revoke`, `/certificateAuthorities/{name}/revoke` and `/revocations` (extensions)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.mass_revocations import MassRevocations
from accredit.domain.ids import AuthorityName, GroupId
from accredit.fronts.service_api.answers import document, page, paging_of
from accredit.fronts.service_api.endpoints import Endpoint
from accredit.fronts.service_api.gate import body_of
from accredit.policy.access import Call
from accredit.values import dataclass
from accredit.wire.service_api.mass_revocations import (
    MassRevocationShown,
    RevokeAuthorityDocument,
    RevokedCertificateShown,
    RevokeGroupDocument,
    mass_revocation_document,
    read_authority_revocation,
    read_group_revocation,
    revoked_certificate_document,
)
from accredit.wire.service_api.openapi import Described


@dataclass(frozen=True, slots=True)
class MassRevocationCalls:
    mass_revocations: MassRevocations

    async def revoke_group(self, request: Request, by: str) -> Response:
        sent = read_group_revocation(await body_of(request))
        begun = await self.mass_revocations.of_group(GroupId.parse(request.path_params["id"]), sent, by)
        return await self._shown(begun.id)

    async def revoke_authority(self, request: Request, by: str) -> Response:
        sent = read_authority_revocation(await body_of(request))
        name = AuthorityName.parse(request.path_params["name"])
        begun = await self.mass_revocations.of_authority(name, sent, by)
        return await self._shown(begun.id)

    async def read(self, request: Request, _by: str) -> Response:
        return await self._shown(request.path_params["id"])

    async def listing(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.mass_revocations.page(wanted)
        rows = [mass_revocation_document(row) for row in found.rows]
        return page(rows, found.cursor, wanted, "unknown")

    async def certificates(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.mass_revocations.certificates(request.path_params["id"], wanted)
        rows = [revoked_certificate_document(*row) for row in found.rows]
        return page(rows, found.cursor, wanted, "unknown")

    async def _shown(self, revocation_id: str) -> Response:
        return document(mass_revocation_document(*await self.mass_revocations.read(revocation_id)))


def mass_revocation_endpoints(calls: MassRevocationCalls) -> tuple[Endpoint, ...]:
    """Rows of the table in `routes.py`."""
    one = "/revocations/{id}"
    return (
        Endpoint(
            "POST", "/enrollmentGroups/{id}/revoke", Call.REVOKE_GROUP, calls.revoke_group,
            Described(
                "Switch a group off, and revoke all of its devices.",
                answers=MassRevocationShown, takes=RevokeGroupDocument,
            ),
        ),
        Endpoint(
            "POST", "/certificateAuthorities/{name}/revoke", Call.REVOKE_AUTHORITY, calls.revoke_authority,
            Described(
                "Stop an authority, and revoke all that it issued, with its devices.",
                answers=MassRevocationShown, takes=RevokeAuthorityDocument,
            ),
        ),
        Endpoint(
            "GET", "/revocations", Call.LIST_REVOCATIONS, calls.listing,
            Described("List the revocations of groups and authorities.", answers=MassRevocationShown, rows=True),
        ),
        Endpoint(
            "GET", one, Call.READ_REVOCATION, calls.read,
            Described("Show how far one is, and what its CAs could not do.", answers=MassRevocationShown),
        ),
        Endpoint(
            "GET", f"{one}/certificates", Call.READ_REVOCATION, calls.certificates,
            Described("List the certificates of one.", answers=RevokedCertificateShown, rows=True),
        ),
    )  # fmt: skip
