"""DigiCert ONE, IoT Trust Manager: orders a device certificate by enrollment profile and API key.

The API is DigiCert's `/iot/api/v1/certificate`: POST enrolls, GET lists, PUT under a certificate's id revokes. An enrollment that waits for an approver is
told by an answer without a certificate. No endpoint is documented that asks for one request by its id, so `poll`
looks in the list, as the recovery of a lost answer does.

What an answer means for the order rests on one question: can DigiCert have signed? It does not store, retry or wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import msgspec

from accredit.authorities import intake
from accredit.authorities.digicert import documents
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.egress import HTTPAnswer
from accredit.interfaces import Delivered, OrderAnswer, Pending, Rejected, Standing, Unknown
from accredit.policy.retry import retry_after_s

TYPE = "DigiCertCertificateAuthority"
PENDING_RETRY_S = 10
PAGE_SIZE = 50
MAX_PAGES = 20

_ENDED = frozenset({"REJECTED", "DENIED", "FAILED", "CANCELLED", "CANCELED"})
_DUPLICATE = "duplicate_error"
_REASONS = documents.REASONS | {
    RevocationReason.CA_COMPROMISE: "unspecified",
    RevocationReason.SUPERSEDED: "unspecified",
}
"""This API knows neither of the two."""
_JSON = {"Content-Type": "application/json"}


class DigiCertOne:
    """`interfaces.Authority`, `PollsOrder`, `FindsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of a DigiCert authority."""
        self.name = record.name
        self.version = record.version
        self._profile, self._key = documents.profile_and_key(record)
        self._ca = Upstream(record, surroundings, called="DigiCert ONE")
        base_url = record.settings.get("baseUrl") or surroundings.digicert_url
        self._url = base_url.rstrip("/") + "/iot/api/v1/certificate"

    async def probe(self) -> Standing:
        """See `Probes`: the list of the profile can be read with the key."""
        await self._page(self._listing(limit=1))
        return Standing()

    async def order(self, order: Order) -> OrderAnswer:
        body = documents.enrollment(order, self._profile)
        answer = await self._ca.send(order, "POST", self._url, body, self._headers() | _JSON)
        if not isinstance(answer, HTTPAnswer):
            return answer
        if answer.status in {200, 201, 202}:
            return self._enrolled(order, answer)
        duplicate = documents.problem(answer.body).code == _DUPLICATE
        return self._ca.refused(order, answer, documents.words(answer.body), unsure=duplicate)

    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        """Look in the list for what this order made.

        A CA that can't be asked now leaves it pending. One that refuses to say (a key that expired meanwhile) may
        still sign what it has taken, so that is Unknown, not Rejected.
        """
        try:
            found, strays = await self._search(order)
        except UpstreamUnavailable as error:
            return Pending(handle, error.retry_after_s)
        except UpstreamRejected as error:
            return Unknown(error.message)
        if found:
            return Delivered(found[0])
        return strays[0] if strays else Pending(handle, PENDING_RETRY_S)

    async def find(self, order: Order) -> Sequence[IssuedChain]:
        """See `FindsOrder`. At most `MAX_PAGES` pages are read; what stands behind them counts as not there."""
        found, _ = await self._search(order)
        return found

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        """See `Revokes`. A certificate whose id at DigiCert is not known is found by its serial number."""
        reference = certificate.ca_reference
        if reference is None:
            reference = (await self._by_serial(certificate, "ISSUED") or documents.Listed()).id
        if reference is not None:
            # Without a date DigiCert takes the beginning of the certificate's life.
            date = datetime.fromtimestamp(int(self._ca.clock.now()), UTC).isoformat().replace("+00:00", "Z")
            body = msgspec.json.encode({"reason": _REASONS[reason], "revocation_date": date})
            url = f"{self._url}/{quote(reference, safe='')}/revoke"
            answer = await self._ca.ask("PUT", url, body, self._headers() | _JSON)
            if answer.status == 204:
                return
            refusal = self._ca.rejection(answer, documents.words(answer.body))
        else:
            refusal = UpstreamRejected("DigiCert ONE does not list the certificate.", rule="ca-refused")
        if await self._by_serial(certificate, "REVOKED") is None:
            raise refusal

    # One order's answers.

    def _enrolled(self, order: Order, answer: HTTPAnswer) -> OrderAnswer:
        try:
            document = documents.enrolled(answer.body)
            found = intake.certificates(document.pem) if document.pem else ()
        except documents.Garbled as error:
            return self._ca.unreadable(str(error))
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        if found:
            return self._ca.delivered(order, found, document.certificate_id)
        if (document.status or "").upper() in _ENDED:
            return Rejected("DigiCert ONE turned the request down.", "ca-refused")
        handle = document.certificate_request_id or document.certificate_id
        if not handle or len(handle) > documents.MAX_HANDLE_CHARS:
            return self._ca.unreadable("its answer names neither certificate nor request")
        wait_s = retry_after_s(answer.retry_after, self._ca.clock.now())
        return Pending(handle, wait_s or PENDING_RETRY_S)

    # The list.

    async def _search(self, order: Order) -> tuple[list[IssuedChain], list[Rejected]]:
        """What the order has made: the certificates that pass the checks, the newest first, and those that do not."""
        try:
            async with asyncio.timeout(self._ca.deadline_s):
                return await self._read_list(order)
        except TimeoutError:
            message = f"DigiCert ONE's list could not be read within {self._ca.deadline_s:g} s."
            raise self._unavailable(order, message) from None

    async def _read_list(self, order: Order) -> tuple[list[IssuedChain], list[Rejected]]:
        found: dict[bytes, IssuedChain] = {}
        strays: list[Rejected] = []
        seen: set[str] = set()
        offset = 0
        for _ in range(MAX_PAGES):
            name = order.registration_id.text
            records = await self._page(self._listing(common_name=name, offset=offset), order)
            fresh = [record for record in records if record.body and record.body not in seen]
            if not fresh:
                break
            for record in fresh:
                seen.add(record.body or "")
                outcome = self._match(order, record)
                if isinstance(outcome, Delivered):
                    found[outcome.issued.sha256] = outcome.issued
                elif outcome is not None:
                    strays.append(outcome)
            offset += len(records)
        newest = sorted(found.values(), key=lambda issued: (issued.not_before, issued.serial), reverse=True)
        return newest, strays

    async def _by_serial(self, certificate: IssuedChain, status: str) -> documents.Listed | None:
        """The record of exactly this certificate, where it has that status."""
        url = self._listing(serial_number=f"{certificate.serial:X}", status=status)
        for record in await self._page(url):
            try:
                if intake.certificates(record.body or "")[0] == certificate.leaf:
                    return record
            except UpstreamRejected:
                continue
        return None

    async def _page(self, url: str, order: Order | None = None) -> list[documents.Listed]:
        answer = await self._ca.ask("GET", url, headers=self._headers())
        if answer.status != 200:
            raise self._ca.rejection(answer, documents.words(answer.body))
        try:
            return documents.listing(answer.body).records
        except documents.Garbled as error:
            raise self._unavailable(order, f"DigiCert ONE's list can't be read: {error}.") from None

    def _listing(self, *, offset: int = 0, limit: int = PAGE_SIZE, **filters: str) -> str:
        query = {
            "enrollment_profile_id": self._profile,
            "certificate_type": "x509",
            "status": "ISSUED",
            **filters,
            "offset": offset,
            "limit": limit,
        }
        return f"{self._url}/?{urlencode(query)}"

    def _match(self, order: Order, record: documents.Listed) -> Delivered | Rejected | None:
        try:
            leaf, *_ = intake.certificates(record.body or "")
            return self._ca.match(order, (leaf, *intake.certificates(record.bundle)), record.id)
        except UpstreamRejected:
            return None

    def _unavailable(self, order: Order | None, message: str) -> UpstreamUnavailable:
        wait_s = PENDING_RETRY_S if order is None else self._ca.wait_s(order, None)
        return UpstreamUnavailable(message, rule="ca-unavailable", retry_after_s=wait_s)

    def _headers(self) -> dict[str, str | Secret]:
        return {"x-api-key": self._key, "Accept": "application/json"}
