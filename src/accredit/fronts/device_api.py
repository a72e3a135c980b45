"""The DPS device API over HTTPS: register, operation status, state look-up, as Starlette routes.

Azure: azure-rest-api-specs, deviceprovisioningservices, device. A call is read, handed to the ceremony, and its
answer rendered; whether a token or a chain proves anything is judged behind `Provisions`. Connections, and limits
on heads, are `fronts/https.py`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from accredit.domain.errors import AccreditError, Unauthenticated
from accredit.domain.evidence import Evidence, NothingShown, PresentedChain, TpmEndorsement
from accredit.domain.guid import guid
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Answer, Assigned, Assigning, Challenged, Ended, Request
from accredit.domain.tpm import TpmKey
from accredit.fronts import bodies
from accredit.interfaces import Clock, Entropy
from accredit.observe import log
from accredit.wire import dps, refusals, sas
from accredit.wire.api_versions import check_api_version
from accredit.wire.dps_challenge import challenge_body
from accredit.wire.pem import IssuerPems

JSON = "application/json; charset=utf-8"
"""Azure: the Node SDK reads no other body."""

MAX_ID_CHARS = 128


class Provisions(Protocol):
    """What this front asks of the ceremony; everything raises AccreditError."""

    id_scope: str

    async def register(self, request: Request) -> Answer: ...

    async def challenge(self, request: Request) -> Challenged | Ended: ...

    async def status(self, request: Request, operation_id: str) -> Answer: ...

    async def lookup(self, request: Request) -> Assigned | Ended: ...

    def unread(
        self, refusal: AccreditError, *, registration_id: str, source: str, tracking_id: str
    ) -> AccreditError:
        """Hear of what could not be read into a `Request`; return what the peer is told."""
        ...


def routes(provisioning: Provisions, clock: Clock, entropy: Entropy) -> list[Route]:
    """The three calls. Unknown query parameters (Node: `forceRegistration`) and a body on GET mean nothing."""
    api = _DeviceAPI(provisioning, clock, entropy)
    registration = "/{id_scope}/registrations/{registration_id}"
    return [
        Route(f"{registration}/register", api.register, methods=["PUT"]),
        Route(f"{registration}/operations/{{operation_id}}", api.status, methods=["GET"]),
        Route(registration, api.lookup, methods=["POST"]),
    ]


Ask = Callable[[Request], Awaitable[Response]]


class _DeviceAPI:
    def __init__(self, provisioning: Provisions, clock: Clock, entropy: Entropy) -> None:
        self._provisioning = provisioning
        self._clock = clock
        self._entropy = entropy
        self._issuers = IssuerPems()

    async def register(self, http: HTTPRequest) -> Response:
        async def ask(request: Request) -> Response:
            if isinstance(request.evidence, TpmEndorsement) and request.evidence.token is None:
                return self._challenged(request, await self._provisioning.challenge(request))
            return self._answered(request, await self._provisioning.register(request))

        return await self._call(http, ask)

    async def status(self, http: HTTPRequest) -> Response:
        async def ask(request: Request) -> Response:
            operation_id = http.path_params["operation_id"]
            return self._answered(request, await self._provisioning.status(request, operation_id))

        return await self._call(http, ask)

    async def lookup(self, http: HTTPRequest) -> Response:
        async def ask(request: Request) -> Response:
            state = await self._provisioning.lookup(request)
            return _response(200, dps.registration_body(state), request.tracking_id)

        return await self._call(http, ask)

    async def _call(self, http: HTTPRequest, ask: Ask) -> Response:
        """Read, ask, answer. Whatever goes wrong is answered in JSON: the SDKs parse it without looking first."""
        tracking_id = guid(self._entropy.token(16))
        source = http.client.host if http.client else ""
        try:
            try:
                request = await self._read(http, source, tracking_id)
            except AccreditError as refusal:
                claimed = http.path_params["registration_id"][:MAX_ID_CHARS]
                told = self._provisioning.unread(
                    refusal, registration_id=claimed, source=source, tracking_id=tracking_id
                )
                return self._refused(refusals.on_the_wire(told), told.message, tracking_id)
            return await ask(request)
        except AccreditError as refusal:
            return self._refused(refusals.on_the_wire(refusal), refusal.message, tracking_id)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception:  # noqa: BLE001 - the last resort: a defect is logged here and its text stays here
            log.exception("device-api-failed", trackingId=tracking_id, source=source)
            return self._refused(refusals.INTERNAL, "Internal error", tracking_id)

    async def _read(self, http: HTTPRequest, source: str, tracking_id: str) -> Request:
        api_version = check_api_version(_parameter(http, "api-version"))
        if http.path_params["id_scope"] != self._provisioning.id_scope:
            scope = http.path_params["id_scope"][:64]
            raise Unauthenticated(
                "Unauthorized", rule="id-scope", evidence=f"the call is for id scope {scope!r}"
            )
        registration_id = RegistrationId.parse(http.path_params["registration_id"])
        document = dps.register_document(b"" if http.method == "GET" else await _body(http))
        document.check(registration_id)
        return Request(
            registration_id=registration_id,
            evidence=_evidence(http, document.tpm),
            csr_fields=document.csr_fields,
            payload=document.payload,
            api_version=api_version,
            source=source,
            tracking_id=tracking_id,
        )

    def _answered(self, request: Request, answer: Answer) -> Response:
        status, body, retry_after_s = dps.answer_body(answer, self._clock.now(), self._issuers)
        headers = {}
        if isinstance(answer, Assigning):
            registration = (
                f"/{self._provisioning.id_scope}/registrations/{quote(request.registration_id.text)}"
            )
            headers["location"] = (
                f"{registration}/operations/{answer.operation_id}?api-version={request.api_version}"
            )
        if retry_after_s is not None:
            headers["retry-after"] = str(retry_after_s)
        return _response(status, body, request.tracking_id, headers)

    def _challenged(self, request: Request, challenge: Challenged | Ended) -> Response:
        if isinstance(challenge, Ended):
            return self._answered(request, challenge)
        wire = refusals.CHALLENGE
        body = challenge_body(wire.code, challenge.blob, request.tracking_id, self._clock.now())
        return _response(wire.http, body, request.tracking_id, {"x-ms-error-code": str(wire.code)})

    def _refused(self, wire: refusals.Wire, message: str, tracking_id: str) -> Response:
        body = dps.error_body(wire.code, message, tracking_id, self._clock.now())
        headers = {"x-ms-error-code": str(wire.code)}
        if wire.retry_after_s is not None:
            headers["retry-after"] = str(wire.retry_after_s)
        return _response(wire.http, body, tracking_id, headers)


def _response(status: int, body: bytes, tracking_id: str, headers: dict[str, str] | None = None) -> Response:
    always = {"content-type": JSON, "x-ms-request-id": tracking_id}
    return Response(body, status, headers=always | (headers or {}))


def _parameter(http: HTTPRequest, name: str) -> str | None:
    """A query parameter, whatever the case of its name."""
    return next((value for key, value in http.query_params.multi_items() if key.lower() == name), None)


def _evidence(http: HTTPRequest, tpm: tuple[TpmKey, TpmKey] | None) -> Evidence:
    """A token counts before a certificate: a device may keep its TLS certificate and still sign.

    A TPM that is named must be proven, whatever else is shown.
    """
    header = http.headers.get("authorization")
    token = sas.parse(header) if header else None
    if tpm is not None:
        return TpmEndorsement(*tpm, token)
    if token is not None:
        return token
    tls = http.scope.get("extensions", {}).get("tls", {})
    chain = tuple(tls.get("client_cert_chain_der", ()))
    return PresentedChain(chain) if chain else NothingShown()


async def _body(http: HTTPRequest) -> bytes:
    most = dps.MAX_BODY_BYTES
    return await bodies.whole(http, most, f"The body is larger than {most} bytes.")
