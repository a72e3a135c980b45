"""`/certificateAuthorities/{name}/rotate`, `activate` and `revokeIssuer`: the keys of our own authorities."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.authority_keys import AuthorityKeys
from accredit.domain.ids import AuthorityName
from accredit.fronts.service_api.answers import condition_of, document
from accredit.fronts.service_api.endpoints import Endpoint
from accredit.fronts.service_api.gate import body_of
from accredit.policy.access import Call
from accredit.values import dataclass
from accredit.wire.service_api.authorities import authority_document
from accredit.wire.service_api.authority_keys import (
    ActivateDocument,
    RevokeIssuerDocument,
    RotateDocument,
    read_brought,
    read_revocation,
    read_rotation,
)
from accredit.wire.service_api.openapi import IF_MATCH, Described
from accredit.wire.service_api.schemas import AuthorityShown


@dataclass(frozen=True, slots=True)
class AuthorityKeyCalls:
    authority_keys: AuthorityKeys

    async def rotate(self, request: Request, by: str) -> Response:
        sent = read_rotation(await body_of(request))
        saved = await self.authority_keys.rotate(_name(request), sent, condition_of(request), by)
        return document(authority_document(saved), saved.etag)

    async def activate(self, request: Request, by: str) -> Response:
        sent = read_brought(await body_of(request))
        saved = await self.authority_keys.activate(_name(request), sent, condition_of(request), by)
        return document(authority_document(saved), saved.etag)

    async def revoke_issuer(self, request: Request, by: str) -> Response:
        sent = read_revocation(await body_of(request))
        saved = await self.authority_keys.revoke(_name(request), sent, condition_of(request), by)
        return document(authority_document(saved), saved.etag)


def authority_key_endpoints(calls: AuthorityKeyCalls) -> tuple[Endpoint, ...]:
    """Rows of the table in `routes.py`."""
    one = "/certificateAuthorities/{name}"
    return (
        Endpoint(
            "POST", f"{one}/rotate", Call.CHANGE_AUTHORITY_KEYS, calls.rotate,
            Described(
                "Make a new issuing CA; where the root is offline, a key and the CSR for it.",
                answers=AuthorityShown, takes=RotateDocument, parameters=(IF_MATCH,),
            ),
        ),
        Endpoint(
            "POST", f"{one}/activate", Call.CHANGE_AUTHORITY_KEYS, calls.activate,
            Described(
                "Take the certificate that the CSR became.",
                answers=AuthorityShown, takes=ActivateDocument, parameters=(IF_MATCH,),
            ),
        ),
        Endpoint(
            "POST", f"{one}/revokeIssuer", Call.CHANGE_AUTHORITY_KEYS, calls.revoke_issuer,
            Described(
                "Put one of its issuing CAs on the root's CRL.",
                answers=AuthorityShown, takes=RevokeIssuerDocument, parameters=(IF_MATCH,),
            ),
        ),
    )  # fmt: skip


def _name(request: Request) -> AuthorityName:
    return AuthorityName.parse(request.path_params["name"])
