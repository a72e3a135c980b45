"""`GET /openapi.json`: the description of the APIs for operators. Public: it says nothing of this service but its address."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from functools import cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from accredit import __version__
from accredit.fronts.service_api.endpoints import Endpoint
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.openapi import description

MAX_AGE_S = 3_600


def routes(endpoints: Iterable[Endpoint], server: str = "/") -> list[Route]:
    """`server` is the URL of this service; relative to the document's own by default (OpenAPI 3.1, Server Object)."""
    operations = [each.operation for each in endpoints]

    @cache
    def document() -> tuple[bytes, dict[str, str]]:
        """The body and its headers, made when somebody first asks: that takes longer than much of a start."""
        body = write(description(operations, __version__, server))
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return body, {"etag": etag, "cache-control": f"public, max-age={MAX_AGE_S}"}

    async def openapi(request: Request) -> Response:
        body, headers = await asyncio.to_thread(document)
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    return [Route("/openapi.json", openapi, methods=["GET"])]
