"""EJBCA over its REST API, version 1, with a client certificate: enrolls an end entity named like the registration.

`pkcs10enroll` makes or updates the end entity and answers with certificate and chain. Where the profile wants an approval
it answers 202 with the number of the request, and `finalize` signs once that is given. What an end entity has is found by
its name. Certificates come as base64 of DER, in some versions of base64 of that. Facts are of EJBCA's own REST resources.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import intake
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.egress import HTTPAnswer
from accredit.interfaces import Delivered, OrderAnswer, Pending, Standing, Unknown

PENDING_RETRY_S = 30
MAX_FOUND = 20

_MEMBERS = ("certificateProfile", "endEntityProfile", "certificateAuthority")
_NUMBER = re.compile(r"\bid\b\W{0,4}([0-9]{1,18})", re.IGNORECASE)
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_REASONS = {
    RevocationReason.UNSPECIFIED: "UNSPECIFIED",
    RevocationReason.KEY_COMPROMISE: "KEY_COMPROMISE",
    RevocationReason.CA_COMPROMISE: "CA_COMPROMISE",
    RevocationReason.AFFILIATION_CHANGED: "AFFILIATION_CHANGED",
    RevocationReason.SUPERSEDED: "SUPERSEDED",
    RevocationReason.CESSATION_OF_OPERATION: "CESSATION_OF_OPERATION",
    RevocationReason.PRIVILEGE_WITHDRAWN: "PRIVILEGES_WITHDRAWN",
    RevocationReason.AA_COMPROMISE: "AA_COMPROMISE",
}


class Enrolled(msgspec.Struct):
    """One certificate: of an enrollment with its chain, of a search without."""

    certificate: str | None = None
    certificate_chain: list[str] | None = None

    def ders(self) -> tuple[bytes, ...]:
        """Raises UpstreamRejected."""
        texts = [self.certificate or "", *(self.certificate_chain or ())]
        return tuple(der for text in texts[: intake.MAX_CERTIFICATES] for der in _ders(text))


class Found(msgspec.Struct):
    certificates: list[Enrolled] = msgspec.field(default_factory=list)


class Ca(msgspec.Struct):
    name: str | None = None
    subject_dn: str | None = None


class Cas(msgspec.Struct):
    certificate_authorities: list[Ca] = msgspec.field(default_factory=list)


class Revocation(msgspec.Struct):
    revoked: bool = False


class _Problem(msgspec.Struct):
    error_message: str | None = None


Document = TypeVar("Document", Enrolled, Found, Cas, Revocation)


class Garbled(Exception):
    """The body is not the document that EJBCA answers with."""


def read(body: bytes, kind: type[Document]) -> Document:
    """Raises Garbled."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):
        raise Garbled from None


def problem(body: bytes) -> str:
    """EJBCA's own words; empty where there are none."""
    try:
        return msgspec.json.decode(body, type=_Problem).error_message or ""
    except (ValueError, RecursionError):
        return ""


class Ejbca:
    """`interfaces.Authority`, `PollsOrder`, `FindsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of EJBCA."""
        self.name = record.name
        self.version = record.version
        key = record.secrets.get("clientKey")
        if key is None or not all(record.settings.get(name) for name in ("url", *_MEMBERS)):
            raise Malformed(
                f"Authority {record.name} needs url, {', '.join(_MEMBERS)}, clientCertificate and clientKey.",
                rule="ca-settings",
            )
        self._certificate_profile, self._end_entity_profile, self._ca_name = (
            record.settings[name] for name in _MEMBERS
        )
        self._client_key = key
        self._ca = Upstream(record, surroundings, called="EJBCA")
        self._url = record.settings["url"].rstrip("/") + "/ejbca/ejbca-rest-api/v1"

    async def probe(self) -> Standing:
        """See `Probes`: the client may use the CA, whose chain can be read."""
        for ca in (await self._asked("GET", "/ca", Cas)).certificate_authorities:
            if ca.name == self._ca_name:
                return Standing(await self._chain(ca.subject_dn or ""))
        raise UpstreamRejected(f"EJBCA shows us no CA named {self._ca_name}.", rule="ca-refused")

    async def order(self, order: Order) -> OrderAnswer:
        document = {
            "certificate_request": order.request.csr.public_bytes(Encoding.PEM).decode("ascii"),
            "certificate_profile_name": self._certificate_profile,
            "end_entity_profile_name": self._end_entity_profile,
            "certificate_authority_name": self._ca_name,
            "username": order.registration_id.text,
            "password": self._code(order),
            "include_chain": True,
        }
        answer = await self._send(order, "/certificate/pkcs10enroll", document)
        if not isinstance(answer, HTTPAnswer):
            return answer
        if answer.status == 202:
            number = _NUMBER.search(problem(answer.body))
            return Pending(number[1] if number else "unnumbered", PENDING_RETRY_S)
        return await self._enrolled(order, answer)

    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        """Have it signed, if it is approved; without the request's number look for what was made of it."""
        if not handle.isdecimal():
            return await self._looked_up(order, handle)
        document = {"response_format": "DER", "password": self._code(order)}
        answer = await self._send(order, f"/certificate/{handle}/finalize", document)
        if not isinstance(answer, HTTPAnswer):
            # What was not sent changed nothing: the request is still there.
            return answer if isinstance(answer, Unknown) else Pending(handle, PENDING_RETRY_S)
        if answer.status in {202, 429, 503}:
            return Pending(handle, PENDING_RETRY_S)
        if answer.status in {401, 403}:
            return Unknown(self._ca.said(answer, problem(answer.body)))
        return await self._enrolled(order, answer)

    async def find(self, order: Order) -> Sequence[IssuedChain]:
        """See `FindsOrder`. At most `MAX_FOUND` certificates of the end entity are looked into."""
        return await self._found(order)

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        issuer = intake.parsed(certificate.leaf).issuer.rfc4514_string()
        path = (
            f"/certificate/{quote(issuer, safe='')}/{certificate.serial:X}/revoke?reason={_REASONS[reason]}"
        )
        answer = await self._ca.ask("PUT", self._url + path, headers=_JSON)
        if answer.status == 409:  # revoked already
            return
        if answer.status != 200:
            raise self._ca.rejection(answer, problem(answer.body))
        if not self._read(answer, Revocation).revoked:
            raise UpstreamRejected("EJBCA does not say that it is revoked.", rule="ca-refused")

    # One order's answers.

    async def _enrolled(self, order: Order, answer: HTTPAnswer) -> OrderAnswer:
        if answer.status not in {200, 201}:
            return self._ca.refused(order, answer, problem(answer.body))
        try:
            document = read(answer.body, Enrolled)
            found = document.ders()
        except Garbled:
            return self._ca.unreadable("its answer is not an enrollment document")
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        if not document.certificate_chain:
            # `finalize` answers with the certificate alone. What is above it can be had later too.
            with suppress(UpstreamUnavailable, UpstreamRejected):
                found = (*found, *await self._chain(intake.parsed(found[0]).issuer.rfc4514_string()))
        return self._ca.delivered(order, found)

    async def _looked_up(self, order: Order, handle: str) -> OrderAnswer:
        try:
            found = await self._found(order)
        except UpstreamUnavailable as error:
            return Pending(handle, error.retry_after_s or PENDING_RETRY_S)
        except UpstreamRejected as error:
            return Unknown(error.message)
        return Delivered(found[0]) if found else Pending(handle, PENDING_RETRY_S)

    async def _found(self, order: Order) -> list[IssuedChain]:
        wanted = {
            "max_number_of_results": MAX_FOUND,
            "criteria": [
                {"property": "QUERY", "value": order.registration_id.text, "operation": "EQUAL"},
                {"property": "CA", "value": self._ca_name, "operation": "EQUAL"},
                {"property": "STATUS", "value": "CERT_ACTIVE", "operation": "EQUAL"},
            ],
        }
        listed = await self._asked("POST", "/certificate/search", Found, wanted)
        found = {}
        for record in listed.certificates[:MAX_FOUND]:
            try:
                ders = record.ders()
            except UpstreamRejected:
                continue
            if self._ca.match(order, ders) is not None:
                above = await self._chain(intake.parsed(ders[0]).issuer.rfc4514_string())
                matched = self._ca.match(order, (*ders, *above))
                if isinstance(matched, Delivered):
                    found[matched.issued.sha256] = matched.issued
        return sorted(found.values(), key=lambda issued: (issued.not_before, issued.serial), reverse=True)

    # Calls.

    def _code(self, order: Order) -> str:
        """The end entity's enrollment code: the same for each call about one order, and nobody else's to know."""
        key = self._client_key.reveal()
        return hmac.new(key, order.operation_id.encode(), hashlib.sha256).hexdigest()[:32]

    async def _send(self, order: Order, path: str, document: dict[str, Any]) -> HTTPAnswer | OrderAnswer:
        return await self._ca.send(order, "POST", self._url + path, msgspec.json.encode(document), _JSON)

    async def _chain(self, subject: str) -> tuple[bytes, ...]:
        """The CA's own certificates. Raises UpstreamUnavailable or UpstreamRejected."""
        url = f"{self._url}/ca/{quote(subject, safe='')}/certificate/download"
        answer = await self._ca.ask("GET", url, headers={"Accept": "*/*"})
        if answer.status != 200:
            raise self._ca.rejection(answer, problem(answer.body))
        return intake.certificates(answer.body)

    async def _asked(
        self, method: str, path: str, kind: type[Document], document: dict[str, Any] | None = None
    ) -> Document:
        """Raises UpstreamUnavailable or UpstreamRejected."""
        body = msgspec.json.encode(document) if document is not None else b""
        answer = await self._ca.ask(method, self._url + path, body, _JSON)
        if answer.status != 200:
            raise self._ca.rejection(answer, problem(answer.body))
        return self._read(answer, kind)

    def _read(self, answer: HTTPAnswer, kind: type[Document]) -> Document:
        try:
            return read(answer.body, kind)
        except Garbled:
            message = "What came is not what EJBCA's REST API answers."
            raise UpstreamUnavailable(message, rule="ca-unavailable", retry_after_s=PENDING_RETRY_S) from None


def _ders(text: str) -> tuple[bytes, ...]:
    """Raises UpstreamRejected."""
    raw = text.encode("ascii", "replace")
    for _ in range(2):
        try:
            raw = base64.b64decode(b"".join(raw.split()), validate=True)
        except (ValueError, binascii.Error):
            break
        if raw.startswith(b"\x30"):
            break
    return intake.certificates(raw)
