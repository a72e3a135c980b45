"""cfssl: a CA behind Cloudflare's `cfssl serve`, asked by `authsign` with a shared key.

Subject and hosts are sent beside the CSR and replace what stands in it. cfssl answers with the leaf alone, so the issuing
CA's certificate is asked for too (`info`). It keeps nothing that could be looked up: a lost answer stays lost. Shapes:
cfssl's doc/api. The key proves the request and not its freshness, so the way there should be TLS.
"""

from __future__ import annotations

import base64
import hmac
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import intake
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.egress import HTTPAnswer
from accredit.interfaces import Deferred, OrderAnswer, Rejected, Standing

_NOT_FOUND = 11200
_BAD_TOKEN = "invalid token"  # noqa: S105 - cfssl's words
_NO_REQUEST = "certificate_request"
_JSON = {"Content-Type": "application/json"}


class _Problem(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Result(msgspec.Struct):
    certificate: str = ""


class _Answer(msgspec.Struct):
    success: bool = False
    result: _Result | None = None
    errors: list[_Problem] | None = None

    @property
    def problem(self) -> _Problem:
        return next(iter(self.errors or ()), _Problem())


class Cfssl:
    """`interfaces.Authority`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of a cfssl authority."""
        self.name = record.name
        self.version = record.version
        self._ca = Upstream(record, surroundings, called="cfssl")
        self._url = str(record.settings.get("url", "")).rstrip("/") + "/api/v1/cfssl/"
        self._label = record.settings.get("label", "")
        self._profile = record.settings.get("profile", "")
        try:
            self._key = bytes.fromhex(record.secrets["authKey"].reveal().decode("ascii"))
        except (KeyError, ValueError):
            raise Malformed(
                f"authKey of authority {record.name} is not the hex of a key.", rule="ca-settings"
            ) from None
        self._issuer: bytes | None = None

    async def probe(self) -> Standing:
        """See `Probes`: an order without a CSR gets as far as that, which only a good key does."""
        issuer = await self._info()
        answer = await self._ask("authsign", self._signed({"profile": self._profile, "label": self._label}))
        document = read(answer.body)
        if document is None or _NO_REQUEST not in document.problem.message:
            raise self._rejection(answer)
        return Standing((issuer,))

    async def order(self, order: Order) -> OrderAnswer:
        try:
            issuer = self._issuer or await self._info()
        except UpstreamUnavailable as error:
            return Deferred(error.message, error.retry_after_s)
        except UpstreamRejected as error:
            return Rejected(error.message, error.rule)
        body = self._signed(
            {
                "certificate_request": order.request.csr.public_bytes(Encoding.PEM).decode("ascii"),
                "profile": self._profile,
                "label": self._label,
                "subject": {"CN": order.registration_id.text},
                # Without this member the CSR's own alternative names would be copied.
                "hosts": [],
            }
        )
        answer = await self._ca.send(order, "POST", self._url + "authsign", body, _JSON)
        if not isinstance(answer, HTTPAnswer):
            return answer
        document = read(answer.body)
        if answer.status == 200 and document is not None and document.success:
            return await self._delivered(order, document, issuer)
        if answer.status == 200:
            return self._ca.unreadable("its answer is not cfssl's")
        problem = document.problem if document is not None else _Problem()
        if problem.message == _BAD_TOKEN:
            return Rejected(self._rejection(answer).message, "ca-credentials")
        return self._ca.refused(order, answer, _words(problem))

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        """See `Revokes`. Releases before 1.3 keep certificates without the identifier of the key that signed them."""
        answer = await self._revoke(certificate, reason, _authority_key_id(certificate.leaf))
        document = read(answer.body)
        if document is not None and document.problem.code == _NOT_FOUND:
            answer = await self._revoke(certificate, reason, "")
            document = read(answer.body)
        if answer.status != 200 or document is None or not document.success:
            raise self._rejection(answer)

    async def _revoke(self, certificate: IssuedChain, reason: RevocationReason, key_id: str) -> HTTPAnswer:
        body = {
            "serial": str(certificate.serial),
            "authority_key_id": key_id,
            "reason": reason.value.lower(),
        }
        return await self._ask("revoke", msgspec.json.encode(body))

    async def _info(self) -> bytes:
        """The issuing CA's certificate in DER. Raises UpstreamUnavailable or UpstreamRejected."""
        body = msgspec.json.encode({"label": self._label, "profile": self._profile})
        answer = await self._ask("info", body)
        document = read(answer.body)
        if answer.status != 200 or document is None or document.result is None:
            raise self._rejection(answer)
        self._issuer = intake.certificates(document.result.certificate)[0]
        return self._issuer

    async def _delivered(self, order: Order, document: _Answer, issuer: bytes) -> OrderAnswer:
        try:
            found = intake.certificates(document.result.certificate if document.result else "")
            if not _signed_by(found[0], issuer):
                # cfssl was given another CA meanwhile.
                issuer = await self._info()
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        except UpstreamUnavailable as error:
            return self._ca.unreadable(f"its issuer could not be asked for: {error.message}")
        return self._ca.delivered(order, [*found, issuer])

    def _signed(self, request: dict[str, Any]) -> bytes:
        """The body of `authsign`: the request, and its HMAC-SHA256 over the very bytes."""
        inner = msgspec.json.encode(request)
        token = base64.b64encode(hmac.digest(self._key, inner, "sha256")).decode("ascii")
        return msgspec.json.encode({"token": token, "request": base64.b64encode(inner).decode("ascii")})

    async def _ask(self, call: str, body: bytes) -> HTTPAnswer:
        return await self._ca.ask("POST", self._url + call, body, _JSON)

    def _rejection(self, answer: HTTPAnswer) -> UpstreamRejected:
        document = read(answer.body)
        problem = document.problem if document is not None else _Problem()
        rejection = self._ca.rejection(answer, _words(problem))
        if problem.message != _BAD_TOKEN:
            return rejection
        return UpstreamRejected(rejection.message + " Check the authority's authKey.", rule="ca-credentials")


def read(body: bytes) -> _Answer | None:
    """The envelope of every answer; None where it is not one."""
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (ValueError, RecursionError):
        return None


def _words(problem: _Problem) -> str:
    return f"{problem.code}: {problem.message}" if problem.message else ""


def _signed_by(leaf: bytes, issuer: bytes) -> bool:
    try:
        intake.parsed(leaf).verify_directly_issued_by(intake.parsed(issuer))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _authority_key_id(leaf: bytes) -> str:
    try:
        extension = intake.parsed(leaf).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return ""
    return (extension.value.key_identifier or b"").hex()
