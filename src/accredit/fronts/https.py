"""The HTTPS application: every room's routes under one roof, and one form of error for what no route answers.

Paths are matched as Azure matches them (its SDKs differ from one another in the case of `enrollmentGroups` and in a
trailing slash): literal segments without regard to case, ids as they are written. A `Content-Encoding: utf-8`, which
some clients send, means nothing. What no route answers, and what a route did not catch, is answered in the error
form of the DPS APIs; a defect's text never leaves the process.

What a call means is the routes' affair, bytes and deadlines are `fronts/http_connection.py`'s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accredit.domain.errors import AccreditError
from accredit.domain.guid import guid
from accredit.fronts.http_connection import HTTPFront, HTTPLimits
from accredit.interfaces import Clock, Entropy
from accredit.observe import log
from accredit.wire import refusals
from accredit.wire.dps import error_body
from accredit.wire.refusals import Wire

JSON = "application/json; charset=utf-8"


def https_front(
    routes: Sequence[Route],
    clock: Clock,
    entropy: Entropy,
    *,
    websockets: Mapping[str, Callable[[], asyncio.BaseProtocol]] | None = None,
    limits: HTTPLimits | None = None,
) -> HTTPFront:
    """The front of port 443: these routes, and a front for each WebSocket subprotocol (`mqtt`)."""
    roof = _Roof(routes, clock, entropy)
    return HTTPFront(roof, clock, roof.refusal, websockets=websockets, limits=limits)


def application(routes: Sequence[Route], clock: Clock, entropy: Entropy) -> ASGIApp:
    """The ASGI application alone. Each request's scope gets a `tracking_id` for the answer and the log."""
    return _Roof(routes, clock, entropy)


def lenient(route: Route) -> Route:
    """The same route, matched without regard to case and with or without a slash at its end."""
    pattern = route.path_regex.pattern.removesuffix("$")
    same = copy(route)
    same.path_regex = re.compile(pattern.removesuffix("/") + "/?$", re.IGNORECASE)
    return same


class _Roof:
    def __init__(self, routes: Sequence[Route], clock: Clock, entropy: Entropy) -> None:
        self._routes = [lenient(route) for route in routes]
        self._router = Router(self._routes, redirect_slashes=False)
        self._clock = clock
        self._entropy = entropy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # With this entry Starlette raises what no route answers, instead of answering it in plain text.
        scope["app"] = self
        tracking_id = scope["tracking_id"] = self._tracking_id()
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._router(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the last resort before the wire
            response = self._refused(error, scope, tracking_id)
            # Half an answer cannot be taken back: uvicorn then ends the connection.
            if not started:
                await response(scope, receive, send)

    def _refused(self, error: Exception, scope: Scope, tracking_id: str) -> Response:
        match error:
            case AccreditError():
                return self._response(refusals.on_the_wire(error), error.message, tracking_id)
            case HTTPException():
                message = f"{HTTPStatus(error.status_code).phrase}: {scope['method']} {scope['path'][:200]}"
                wire = refusals.of_status(error.status_code)
                extra = {"allow": self._allowed(scope)} if error.status_code == 405 else error.headers
                return self._response(wire, message, tracking_id, extra)
            case _:
                log.error("http-call-failed", trackingId=tracking_id, path=scope["path"], exc_info=error)
                return self._response(refusals.INTERNAL, "Internal error", tracking_id)

    def _allowed(self, scope: Scope) -> str:
        """Every method of the address (RFC 9110 15.5.6): the router names those of its first row alone."""
        here = [route for route in self._routes if route.matches(scope)[0] is not Match.NONE]
        return ", ".join(sorted({method for route in here for method in route.methods or ()}))

    def _response(
        self, wire: Wire, message: str, tracking_id: str, extra: Mapping[str, str] | None = None
    ) -> Response:
        headers = {"content-type": JSON, "x-ms-request-id": tracking_id} | dict(extra or {})
        if wire.retry_after_s is not None:
            headers["retry-after"] = str(wire.retry_after_s)
        body = error_body(wire.code, message, tracking_id, self._clock.now())
        return Response(body, wire.http, headers=headers)

    def refusal(self, status: int, sentence: str) -> bytes:
        """A body for what is refused before there is a request to route."""
        code = refusals.of_status(status).code
        return error_body(code, sentence, self._tracking_id(), self._clock.now())

    def _tracking_id(self) -> str:
        return guid(self._entropy.token(16))
