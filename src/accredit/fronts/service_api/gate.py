"""Around every call: the gate before it, and Azure's error body when it is refused.

The token is judged before anything else of the request is read, so a stranger learns nothing and costs no parsing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from accredit.administration.access import Access
from accredit.domain.errors import AccreditError, Unauthenticated, UpstreamUnavailable
from accredit.domain.guid import guid
from accredit.fronts import bodies
from accredit.interfaces import Clock, Entropy, StoreUnavailable
from accredit.observe import log
from accredit.policy.access import Call
from accredit.wire.api_versions import check_api_version
from accredit.wire.dps import error_body
from accredit.wire.refusals import INTERNAL, Wire, on_the_wire
from accredit.wire.service_api.documents import MAX_DOCUMENT_BYTES

JSON = "application/json; charset=utf-8"

STORE_RETRY_S = 5


class Counts(Protocol):
    """Who counts the calls of the service API, and the failures of who is not let in."""

    def service_call(self) -> None:
        """Raises Throttled."""

    def failed(self, refusal: AccreditError, source: str) -> AccreditError:
        """What the caller is told."""
        ...


Handler = Callable[[Request, str], Awaitable[Response]]
"""A call behind the gate: the request, and the name of the policy that opened it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Makes Starlette endpoints of handlers. `fronts/hub_gate.py` has one that words its answers as a hub does."""

    access: Access
    clock: Clock
    entropy: Entropy
    counts: Counts | None = field(default=None, kw_only=True)

    def behind(self, call: Call, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that lets in who may make this call."""

        async def endpoint(request: Request) -> Response:
            tracking_id = request.scope.get("tracking_id") or self._tracking_id()
            response = await self._answer(request, call, handler, tracking_id)
            response.headers["x-ms-request-id"] = tracking_id
            return response

        return endpoint

    def _tracking_id(self) -> str:
        return guid(self.entropy.token(16))

    async def _answer(self, request: Request, call: Call, handler: Handler, tracking_id: str) -> Response:
        by = ""
        try:
            by = await self._admitted(request, call)
            if self.counts is not None:
                self.counts.service_call()
            self._check_version(request)
            request.state.also_admitted = partial(self._admitted, request)
            return await handler(request, by)
        except AccreditError as refusal:
            return self._refused(refusal, request, call, by, tracking_id)
        except StoreUnavailable as failure:
            return self._refused(_unavailable(failure), request, call, by, tracking_id)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:  # noqa: BLE001 - whatever it is, its text must not leave the process
            log.exception("service-call-failed", call=call.value, by=by, trackingId=tracking_id)
            return self._internal(tracking_id)

    async def _admitted(self, request: Request, call: Call) -> str:
        return await self.access.admit(request.headers.get("authorization"), call, request.scope["path"])

    def _check_version(self, request: Request) -> None:
        check_api_version(request.query_params.get("api-version"))

    def _refused(
        self, refusal: AccreditError, request: Request, call: Call, by: str, tracking_id: str
    ) -> Response:
        source = request.client.host if request.client else ""
        log.info(
            "service-call-refused",
            call=call.value,
            by=by,
            rule=refusal.rule,
            reason=refusal.message,
            evidence=refusal.evidence,
            source=source,
            trackingId=tracking_id,
        )
        if self.counts is not None and not by and isinstance(refusal, Unauthenticated):
            refusal = self.counts.failed(refusal, source)
        return self._worded(refusal, tracking_id)

    def _worded(self, refusal: AccreditError, tracking_id: str) -> Response:
        return self._rendered(on_the_wire(refusal), sentence_of(refusal), tracking_id)

    def _internal(self, tracking_id: str) -> Response:
        return self._rendered(INTERNAL, "Internal error", tracking_id)

    def _rendered(self, wire: Wire, message: str, tracking_id: str) -> Response:
        headers = {"x-ms-error-code": str(wire.code)}
        if wire.retry_after_s is not None:
            headers["retry-after"] = str(wire.retry_after_s)
        body = error_body(wire.code, message, tracking_id, self.clock.now())
        return Response(body, wire.http, headers, JSON)


async def also(request: Request, call: Call) -> None:
    """For what a call turns out to do beside what its route says: judge the same token by that call's right too."""
    await request.state.also_admitted(call)


def _unavailable(failure: StoreUnavailable) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        "The storage can't answer now.",
        rule="store-unavailable",
        retry_after_s=STORE_RETRY_S,
        evidence=str(failure),
    )


def sentence_of(refusal: AccreditError) -> str:
    """The caller is the operator, so the hint goes along; but who is not let in hears one word, whatever was wrong."""
    if isinstance(refusal, Unauthenticated):
        return "Unauthorized"
    return f"{refusal.message.removesuffix('.')}: {refusal.hint}." if refusal.hint else refusal.message


async def body_of(request: Request) -> bytes:
    """The body, if it is not larger than a document may be. `Content-Encoding` is not looked at: curl's users and
    Azure's own documentation send `utf-8` in it."""
    refusal = f"The document has more than {MAX_DOCUMENT_BYTES} bytes."
    return await bodies.whole(request, MAX_DOCUMENT_BYTES, refusal)
