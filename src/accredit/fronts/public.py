"""What is public and plain: CRLs, OCSP, issuer certificates, and answers to ACME challenges, over HTTP without TLS (RFC 5280, 8; RFC 6960, A.1).

A relying party can't be asked to trust our TLS before it has checked a certificate, and everything here is signed by
itself. Nothing else is served on this port; who asks is nobody we know.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Protocol
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from accredit.domain.errors import NotFound
from accredit.fronts import bodies

CRL = "application/pkix-crl"
CERTIFICATE = "application/pkix-cert"
OCSP_REQUEST = "application/ocsp-request"
OCSP_RESPONSE = "application/ocsp-response"
MAX_OCSP_BYTES = 4_096
MAX_AGE_S = 60
"""How long a cache on the way may keep an answer: what is revoked must be told soon."""


class TellsStatus(Protocol):
    """What this front asks (`ca/statuses.py`)."""

    async def issuer(self, key: str) -> bytes | None: ...

    async def crl(self, key: str, shard: int) -> bytes | None: ...

    async def root_crl(self, key: str) -> bytes | None: ...

    async def ocsp(self, request: bytes) -> bytes: ...


def routes(statuses: TellsStatus, challenge: Callable[[str], str | None]) -> list[Route]:
    """`challenge` answers a CA's http-01 challenge by its token (RFC 8555, section 8.3), None where there is none."""
    calls = _PublicCalls(statuses, challenge)
    return [
        Route("/crl/{key}/{shard:int}.crl", calls.crl, methods=["GET"]),
        Route("/crl/{key}/ca.crl", calls.root_crl, methods=["GET"]),
        Route("/issuers/{key}.cer", calls.issuer, methods=["GET"]),
        Route("/ocsp", calls.ocsp_post, methods=["POST"]),
        Route("/ocsp/{request:path}", calls.ocsp_get, methods=["GET"]),
        Route("/.well-known/acme-challenge/{token}", calls.challenge, methods=["GET"]),
    ]


class _PublicCalls:
    def __init__(self, statuses: TellsStatus, challenge: Callable[[str], str | None]) -> None:
        self._statuses = statuses
        self._challenge = challenge

    async def crl(self, request: Request) -> Response:
        found = await self._statuses.crl(request.path_params["key"].lower(), request.path_params["shard"])
        return _answer(found, CRL)

    async def root_crl(self, request: Request) -> Response:
        return _answer(await self._statuses.root_crl(request.path_params["key"].lower()), CRL)

    async def issuer(self, request: Request) -> Response:
        return _answer(await self._statuses.issuer(request.path_params["key"].lower()), CERTIFICATE)

    async def challenge(self, request: Request) -> Response:
        found = self._challenge(request.path_params["token"])
        return _answer(None if found is None else found.encode("ascii"), "application/octet-stream")

    async def ocsp_post(self, request: Request) -> Response:
        refusal = f"The request is longer than {MAX_OCSP_BYTES} bytes."
        question = await bodies.whole(request, MAX_OCSP_BYTES, refusal)
        return _answer(await self._statuses.ocsp(question), OCSP_RESPONSE)

    async def ocsp_get(self, request: Request) -> Response:
        # Base64 may hold slashes, which some clients escape and some don't (RFC 5019, 5).
        text = unquote(request.path_params["request"])
        try:
            question = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            question = b""
        return _answer(await self._statuses.ocsp(question), OCSP_RESPONSE)


def _answer(content: bytes | None, media_type: str) -> Response:
    if content is None:
        raise NotFound("There is no such thing.", rule="public-unknown")
    return Response(content, 200, {"cache-control": f"max-age={MAX_AGE_S}"}, media_type)
