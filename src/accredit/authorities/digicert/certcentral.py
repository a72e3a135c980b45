"""DigiCert CertCentral, Services API v2: orders a product for an organization, and waits for its validation.

`profileName` is the product's name in the API (`private_client_...`), `organizationId` whom DigiCert has validated. An
order is paid from the account's balance. What is issued at once comes with the answer; for the rest the order is asked
for its status and the certificate downloaded. The API counts every call of a key against one limit, so it is asked rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import intake
from accredit.authorities.digicert import documents
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.egress import HTTPAnswer
from accredit.interfaces import Delivered, OrderAnswer, Pending, Rejected, Standing, Unknown

HOST = "https://www.digicert.com"
PENDING_RETRY_S = 60
MAX_CANDIDATES = 10
"""As many orders of one name are looked into, the newest first."""

_DAY_S = 86_400
_MAX_NUMBER = 1 << 53
_ENDED = frozenset({"rejected", "canceled"})


class Link(msgspec.Struct):
    pem: str | None = None


class Certificate(msgspec.Struct):
    id: int | None = None
    common_name: str | None = None


class Described(msgspec.Struct):
    """A product or an organization: that it is described is all that counts."""


class Ordered(msgspec.Struct):
    """The answer to an order: `certificate_chain` where it was issued at once."""

    id: int | None = None
    certificate_id: int | None = None
    certificate_chain: list[Link] | None = None


class OrderState(msgspec.Struct):
    """One order, alone or in a list."""

    id: int | None = None
    status: str | None = None
    certificate: Certificate = msgspec.field(default_factory=Certificate)


class Orders(msgspec.Struct):
    """A list of orders; CertCentral leaves it out where it is empty."""

    orders: list[OrderState] = msgspec.field(default_factory=list)


class CertCentral:
    """`interfaces.Authority`, `PollsOrder`, `FindsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of CertCentral."""
        self.name = record.name
        self.version = record.version
        self._product, self._key = documents.profile_and_key(record)
        organization = str(record.settings.get("organizationId", ""))
        if not organization.isdecimal() or int(organization) >= _MAX_NUMBER:
            raise Malformed(
                f"Authority {record.name} needs organizationId, the number of an organization at CertCentral.",
                rule="ca-settings",
            )
        self._organization = int(organization)
        self._days = record.settings.get("maxValidityDays")
        self._ca = Upstream(record, surroundings, called="DigiCert CertCentral")
        self._url = (record.settings.get("baseUrl") or HOST).rstrip("/") + "/services/v2"

    async def probe(self) -> Standing:
        """See `Probes`: the key may order the product, and see the organization."""
        for path in (f"/product/{quote(self._product, safe='')}", f"/organization/{self._organization}"):
            self._read(await self._asked(path), Described)
        return Standing()

    async def order(self, order: Order) -> OrderAnswer:
        url = f"{self._url}/order/certificate/{quote(self._product, safe='')}"
        body = msgspec.json.encode(self._document(order))
        answer = await self._ca.send(order, "POST", url, body, self._headers())
        if not isinstance(answer, HTTPAnswer):
            return answer
        if answer.status not in {200, 201}:
            return self._ca.refused(order, answer, documents.words(answer.body))
        try:
            made = documents.read(answer.body, Ordered, "an order document")
        except documents.Garbled as error:
            return self._ca.unreadable(str(error))
        if made.certificate_chain and made.certificate_id is not None:
            pem = "\n".join(link.pem or "" for link in made.certificate_chain)
            return self._delivered(order, pem.encode(), made.certificate_id)
        if made.id is None:
            return self._ca.unreadable("its answer has no order number")
        return Pending(str(made.id), PENDING_RETRY_S)

    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        """Where CertCentral can't say now it stays pending; where it won't, it may still issue."""
        try:
            state = self._read(await self._asked(f"/order/certificate/{quote(handle, safe='')}"), OrderState)
            if state.status in _ENDED:
                return Rejected(f"DigiCert CertCentral says that the order is {state.status}.", "ca-refused")
            if state.status != "issued" or state.certificate.id is None:
                return Pending(handle, PENDING_RETRY_S)
            answer = await self._download(state.certificate.id)
        except UpstreamUnavailable as error:
            return Pending(handle, error.retry_after_s or PENDING_RETRY_S)
        except UpstreamRejected as error:
            return Unknown(error.message)
        return self._delivered(order, answer.body, state.certificate.id)

    async def find(self, order: Order) -> Sequence[IssuedChain]:
        """See `FindsOrder`. At most `MAX_CANDIDATES` orders of the name are looked into."""
        query = {
            "filters[common_name]": order.registration_id.text,
            "filters[status]": "issued",
            "sort": "-date_created",
            "limit": MAX_CANDIDATES,
        }
        listed = self._read(await self._asked(f"/order/certificate?{urlencode(query)}"), Orders)
        found = []
        for state in listed.orders[:MAX_CANDIDATES]:
            name, number = state.certificate.common_name or "", state.certificate.id
            if number is None or name.lower() != order.registration_id.key:
                continue
            answer = await self._download(number)
            try:
                matched = self._ca.match(order, intake.certificates(answer.body), str(number))
            except UpstreamRejected:
                continue
            if isinstance(matched, Delivered):
                found.append(matched.issued)
        return sorted(found, key=lambda issued: (issued.not_before, issued.serial), reverse=True)

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        """See `Revokes`. A certificate whose number is not known is found by its serial number."""
        number = certificate.ca_reference
        if number is None:
            number = str((await self._by_serial(certificate)).certificate.id)
        body = msgspec.json.encode(
            {"revocation_reason": documents.REASONS[reason], "comments": reason.value, "skip_approval": True}
        )
        url = f"{self._url}/certificate/{quote(number, safe='')}/revoke"
        answer = await self._ca.ask("PUT", url, body, self._headers())
        if answer.status in {200, 201, 204}:
            return
        if (await self._by_serial(certificate)).status != "revoked":
            raise self._ca.rejection(answer, documents.words(answer.body))

    # Calls.

    def _document(self, order: Order) -> dict[str, Any]:
        validity: dict[str, Any] = {"validity_years": 1}
        if self._days:
            # The date's last second is meant: a day earlier is within the days.
            last = datetime.fromtimestamp(self._ca.clock.now() + (self._days - 1) * _DAY_S, UTC)
            validity = {"custom_expiration_date": f"{last:%Y-%m-%d}"}
        return {
            "certificate": {
                "common_name": order.registration_id.text,
                "csr": order.request.csr.public_bytes(Encoding.PEM).decode("ascii"),
                "signature_hash": "sha256",
            },
            "organization": {"id": self._organization},
            "payment_method": "balance",
            "skip_approval": True,
            **validity,
        }

    def _delivered(self, order: Order, pem: bytes, number: int) -> OrderAnswer:
        try:
            return self._ca.delivered(order, intake.certificates(pem), str(number))
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")

    async def _by_serial(self, certificate: IssuedChain) -> OrderState:
        path = f"/order/certificate/{documents.serial_hex(certificate)}"
        return self._read(await self._asked(path), OrderState)

    async def _download(self, number: int) -> HTTPAnswer:
        return await self._asked(f"/certificate/{number}/download/format/pem_all", accept="*/*")

    async def _asked(self, path: str, accept: str = "application/json") -> HTTPAnswer:
        """Raises UpstreamUnavailable or UpstreamRejected."""
        answer = await self._ca.ask("GET", self._url + path, headers=self._headers() | {"Accept": accept})
        if answer.status != 200:
            raise self._ca.rejection(answer, documents.words(answer.body))
        return answer

    def _read(self, answer: HTTPAnswer, kind: type[documents.Document]) -> documents.Document:
        return documents.answered(answer.body, kind, "CertCentral", PENDING_RETRY_S)

    def _headers(self) -> dict[str, str | Secret]:
        return {"X-DC-DEVKEY": self._key, "Accept": "application/json", "Content-Type": "application/json"}
