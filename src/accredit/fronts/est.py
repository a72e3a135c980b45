"""Enrollment over Secure Transport (RFC 7030) on port 443: cacerts, csrattrs, simpleenroll, simplereenroll.

The label of an address names the device's enrollment: its registration id, or its group's id. `/{label}/.well-known/est`
means the same, for clients that can only put something before what they append; an enrollment without a label is for a device
that is registered, or shows a certificate: some forget the label when they ask again. What a proof is worth is judged behind `Enrolls`;
refusals are plain text with the status that `wire/refusals.py` has for EST. A CA that is slow is told by 202, and the
same call again gets the outcome.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from accredit.domain.errors import AccreditError, Malformed, Unauthenticated
from accredit.domain.evidence import Evidence, HeldCertificate, Password, PresentedChain
from accredit.domain.guid import guid
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.registration import Answer, Assigned, Assigning, Ended, Request, Status
from accredit.fronts import bodies
from accredit.interfaces import Entropy
from accredit.observe import log
from accredit.policy.chains import claimed_id
from accredit.wire import est, refusals

API_VERSION = "2021-11-01-preview"
"""The DPS device API whose rules an EST device registers by: the first that issues certificates."""

MAX_SHOWN_CHARS = 128
_CHALLENGE = 'Basic realm="accredit", charset="UTF-8"'


class Enrolls(Protocol):
    """What this front asks of the ceremony; everything raises AccreditError."""

    async def register(self, request: Request) -> Answer: ...

    def unread(
        self, refusal: AccreditError, *, registration_id: str, source: str, tracking_id: str
    ) -> AccreditError: ...


class TellsChains(Protocol):
    """The certificates above those that an enrollment's authority issues, by label."""

    async def of(self, label: str, *, source: str, tracking_id: str) -> tuple[bytes, ...]: ...


Call = Callable[[HTTPRequest, str], Awaitable[Response]]
Shown = Callable[[HTTPRequest], tuple[RegistrationId, Evidence]]


def routes(provisioning: Enrolls, chains: TellsChains, entropy: Entropy) -> list[Route]:
    """serverkeygen and fullcmc are not offered."""
    front = _Est(provisioning, chains, entropy)
    calls: list[tuple[str, str, Call]] = [
        ("GET", "cacerts", front.cacerts),
        ("GET", "csrattrs", front.csrattrs),
        ("POST", "simpleenroll", front.enroll),
        ("POST", "simplereenroll", front.reenroll),
    ]
    bare = [
        Route(f"{est.WELL_KNOWN}/{operation}", front.endpoint(call), methods=[method])
        for method, operation, call in calls
        if method == "POST"
    ]
    return bare + [
        Route(path, front.endpoint(call), methods=[method])
        for method, operation, call in calls
        for path in (
            f"{est.WELL_KNOWN}/{{label}}/{operation}",
            f"/{{label}}{est.WELL_KNOWN}/{operation}",
        )
    ]


class _Est:
    def __init__(self, provisioning: Enrolls, chains: TellsChains, entropy: Entropy) -> None:
        self._provisioning = provisioning
        self._chains = chains
        self._entropy = entropy

    def endpoint(self, call: Call) -> Callable[[HTTPRequest], Awaitable[Response]]:
        async def answered(http: HTTPRequest) -> Response:
            """Whatever goes wrong is told in plain text (RFC 7030, 4.2.3)."""
            tracking_id = guid(self._entropy.token(16))
            try:
                return await call(http, tracking_id)
            except AccreditError as refusal:
                return _refused(refusals.on_the_wire(refusal), refusal.message, tracking_id)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            except Exception:  # noqa: BLE001 - the last resort: a defect is logged here and its text stays here
                log.exception("est-failed", trackingId=tracking_id, source=_source(http))
                return _refused(refusals.INTERNAL, "Internal error", tracking_id)

        return answered

    async def cacerts(self, http: HTTPRequest, tracking_id: str) -> Response:
        label = _label(http)
        chain = await self._chains.of(label, source=_source(http), tracking_id=tracking_id)
        return _encoded(est.certificates_body(chain), est.PKCS7, tracking_id)

    async def csrattrs(self, http: HTTPRequest, tracking_id: str) -> Response:
        _label(http)
        return _encoded(est.attributes_body(), est.CSR_ATTRS, tracking_id)

    async def enroll(self, http: HTTPRequest, tracking_id: str) -> Response:
        return await self._enrolled(http, tracking_id, _shown)

    async def reenroll(self, http: HTTPRequest, tracking_id: str) -> Response:
        return await self._enrolled(http, tracking_id, _held)

    async def _enrolled(self, http: HTTPRequest, tracking_id: str, shown: Shown) -> Response:
        try:
            request = await _read(http, tracking_id, shown)
        except AccreditError as refusal:
            claimed = http.path_params.get("label", "")[:MAX_SHOWN_CHARS]
            source = _source(http)
            raise self._provisioning.unread(
                refusal, registration_id=claimed, source=source, tracking_id=tracking_id
            ) from None
        return _answered(await self._provisioning.register(request), tracking_id)


async def _read(http: HTTPRequest, tracking_id: str, shown: Shown) -> Request:
    # The proof first: who has none is not asked for a body.
    registration_id, evidence = shown(http)
    csr = est.csr_text(http.headers.get("content-type"), await _body(http))
    return Request(
        registration_id=registration_id,
        evidence=evidence,
        csr_fields=((est.CSR_FIELD, csr),),
        payload=None,
        api_version=API_VERSION,
        source=_source(http),
        tracking_id=tracking_id,
        named=_label(http) if "label" in http.path_params else None,
        repeats=True,
        bindings=tuple(map(b64encode, _tls(http).get("channel_bindings", tuple)())),
        keeps_names=True,
    )


def _shown(http: HTTPRequest) -> tuple[RegistrationId, Evidence]:
    """Who it is, and by what: a password counts before a certificate. Raises Unauthenticated."""
    header = http.headers.get("authorization")
    if header is not None:
        user, password = est.basic_credentials(header)
        return _registration_id(user), Password(password)
    chain = _peer_chain(http)
    if not chain:
        raise Unauthenticated(
            "Unauthorized", rule="nothing-shown", evidence="neither Basic nor a certificate"
        )
    shown = PresentedChain(chain)
    return claimed_id(shown), shown


def _held(http: HTTPRequest) -> tuple[RegistrationId, Evidence]:
    """The same of a renewal: the certificate that it renews is what proves it (RFC 7030, 3.3.2 and 4.2.2)."""
    chain = _peer_chain(http)
    if not chain:
        raise Unauthenticated(
            "Unauthorized",
            rule="nothing-shown",
            hint="show the certificate to be renewed as the TLS client's",
            evidence="a renewal without a client certificate",
        )
    return claimed_id(PresentedChain(chain)), HeldCertificate(chain[0])


def _registration_id(user: str) -> RegistrationId:
    try:
        return RegistrationId.parse(user)
    except Malformed as error:
        raise Unauthenticated(
            "Unauthorized",
            rule="basic-malformed",
            evidence=f"the user name is no registration id: {user[:MAX_SHOWN_CHARS]!r}",
        ) from error


def _peer_chain(http: HTTPRequest) -> tuple[bytes, ...]:
    return tuple(_tls(http).get("client_cert_chain_der", ()))


def _tls(http: HTTPRequest) -> dict[str, Any]:
    found: dict[str, Any] = http.scope.get("extensions", {}).get("tls", {})
    return found


def _source(http: HTTPRequest) -> str:
    return http.client.host if http.client else ""


def _label(http: HTTPRequest) -> str:
    """Ids of registrations and of groups share their grammar. Raises Malformed."""
    return GroupId.parse(http.path_params["label"]).text


async def _body(http: HTTPRequest) -> bytes:
    most = est.MAX_REQUEST_BYTES
    return await bodies.whole(http, most, f"The body is larger than {most} bytes.")


def _answered(answer: Answer, tracking_id: str) -> Response:
    match answer:
        case Assigned(certified=certified):
            assert certified is not None  # a CSR was sent
            leaf = certified.record.issued.leaf
            return _encoded(est.certificates_body([leaf]), est.CERTS_ONLY, tracking_id)
        case Assigning(retry_after_s=seconds):
            headers = {"retry-after": str(seconds)}
            return _text(202, "Not yet: send the same request again.", tracking_id, headers)
        case Ended(status=Status.DISABLED):
            return _text(403, "The device is switched off.", tracking_id)
        case Ended(error_code=code, error_message=message):
            return _text(refusals.est_status_of(code), message or "The enrollment failed.", tracking_id)


def _refused(wire: refusals.Wire, message: str, tracking_id: str) -> Response:
    headers = {}
    if wire.est == 401:
        headers["www-authenticate"] = _CHALLENGE
    if wire.retry_after_s is not None:
        headers["retry-after"] = str(wire.retry_after_s)
    return _text(wire.est, message, tracking_id, headers)


def _text(status: int, sentence: str, tracking_id: str, headers: dict[str, str] | None = None) -> Response:
    always = {"content-type": "text/plain; charset=utf-8", "x-ms-request-id": tracking_id}
    return Response(f"{sentence.rstrip('.')}. Tracking id: {tracking_id}\n", status, always | (headers or {}))


def _encoded(body: bytes, media_type: str, tracking_id: str) -> Response:
    headers = {
        "content-type": media_type,
        # RFC 8951 lets it mean nothing; clients of RFC 7030 may look for it.
        "content-transfer-encoding": "base64",
        "x-ms-request-id": tracking_id,
    }
    return Response(body, 200, headers)
