"""`/healthz`: the process answers. `/readyz`: it can do its work. Neither asks for a token or an api-version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def routes(
    ready: Callable[[], Awaitable[str | None]], warnings: Callable[[], Sequence[str]] = tuple
) -> list[Route]:
    """`ready` says why the service can't work now, or None; `warnings` what is amiss beside its work."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        reason = await ready()
        if reason is None:
            told = list(warnings())
            return JSONResponse({"status": "ready", **({"warnings": told} if told else {})})
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
