"""A request's body, read no further than it may be."""

from __future__ import annotations

from starlette.requests import Request

from accredit.domain.errors import Malformed


async def whole(request: Request, most: int, refusal: str, rule: str = "body-too-large") -> bytes:
    """The whole body, given up as soon as it has more than `most` bytes: raises Malformed(`refusal`, `rule`)."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise Malformed(refusal, rule=rule)
    return bytes(body)
