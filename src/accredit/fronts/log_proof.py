"""`GET /issuanceLogProof` (an extension): a device that shows its issued certificate in TLS gets the proof that the log has it.

The handshake has proven that the device holds the certificate's key, and what it was issued for the log knows; nothing
else is judged, so that a certificate that has ended or was revoked is proven too. Its use is for devices that came by
EST or over a hub, where an answer has no room for it; any other may ask here as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from accredit.domain.errors import AccreditError, Unauthenticated, UpstreamUnavailable
from accredit.domain.guid import guid
from accredit.domain.inclusion import Inclusion
from accredit.fronts.https import JSON
from accredit.interfaces import Clock, Entropy, StoreUnavailable
from accredit.observe import log
from accredit.wire import refusals
from accredit.wire.dps import error_body
from accredit.wire.dps_log_proof import log_proof_body

PATH = "/issuanceLogProof"


class Charges(Protocol):
    def unread(
        self, refusal: AccreditError, *, registration_id: str, source: str, tracking_id: str
    ) -> AccreditError: ...


def routes(
    proof_of: Callable[[bytes], Awaitable[Inclusion]], charges: Charges, clock: Clock, entropy: Entropy
) -> list[Route]:
    """`proof_of` takes a certificate's SHA-256 and raises AccreditError."""

    async def answered(http: Request) -> Response:
        tracking_id = guid(entropy.token(16))
        source = http.client.host if http.client else ""
        always = {"content-type": JSON, "x-ms-request-id": tracking_id}
        told: AccreditError
        try:
            found = await proof_of(_shown(http))
            return Response(log_proof_body(found), headers=always)
        except Unauthenticated as refusal:
            told = charges.unread(refusal, registration_id="", source=source, tracking_id=tracking_id)
        except AccreditError as refusal:
            told = refusal
        except StoreUnavailable as error:
            log.warning("store-unavailable", trackingId=tracking_id, reason=str(error))
            told = UpstreamUnavailable(
                "The service can't read its storage now.", rule="store-unavailable", retry_after_s=5
            )
        wire = refusals.on_the_wire(told)
        if wire.retry_after_s is not None:
            always["retry-after"] = str(wire.retry_after_s)
        body = error_body(wire.code, told.message, tracking_id, clock.now())
        return Response(body, wire.http, headers=always)

    return [Route(PATH, answered, methods=["GET"])]


def _shown(http: Request) -> bytes:
    """The SHA-256 of the certificate in TLS. Raises Unauthenticated."""
    chain = http.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain_der", ())
    if not chain:
        raise Unauthenticated("Show the issued certificate as client certificate.", rule="nothing-shown")
    return sha256(chain[0]).digest()
