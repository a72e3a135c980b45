"""`/certificateAuthorities`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.authorities import Authorities
from accredit.domain.ids import AuthorityName
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import body_of
from accredit.values import dataclass
from accredit.wire.service_api.authorities import authority_document, health_document, read_authority


@dataclass(frozen=True, slots=True)
class AuthorityCalls:
    authorities: Authorities

    async def put(self, request: Request, by: str) -> Response:
        name = _name(request)
        sent = read_authority(await body_of(request))
        saved = await self.authorities.put(name, sent, condition_of(request), by)
        return document(authority_document(saved), saved.etag)

    async def read(self, request: Request, _by: str) -> Response:
        authority = await self.authorities.read(_name(request))
        shown = authority_document(authority)
        health = await self.authorities.health(authority)
        if health is not None:
            standing = health.standing
            shown |= health_document(
                health.reason, standing.chain, standing.can, health.checked_at, health.credentials_end
            )
        return document(shown, authority.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.authorities.delete(_name(request), condition_of(request), by)
        return gone()

    async def listing(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.authorities.page(wanted)
        return page([authority_document(row) for row in found.rows], found.cursor, wanted, "unknown")


def _name(request: Request) -> AuthorityName:
    return AuthorityName.parse(request.path_params["name"])
