"""DigiCert ONE, Trust Lifecycle Manager (once Enterprise PKI Manager): orders by profile and seat.

The API is DigiCert's `/mpki/api/v1`: POST to `certificate` enrolls and answers with the certificate itself,
`certificate-search` lists, PUT under a serial number revokes. `profileName` is the profile's GUID. The seat, which is
what DigiCert licenses, has the registration id: a device that renews takes no second one. Nothing waits for approval here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import intake
from accredit.authorities.digicert import documents
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import UpstreamRejected
from accredit.domain.secret import Secret
from accredit.egress import HTTPAnswer
from accredit.interfaces import Delivered, OrderAnswer, Standing

PAGE_SIZE = 50
RETRY_S = 10


class Issued(msgspec.Struct):
    """The answer to an enrollment, a record of a search, or one certificate: all have these members."""

    certificate: str | None = None
    serial_number: str | None = None
    status: str | None = None


class Search(msgspec.Struct):
    """One page of what a search found."""

    items: list[Issued]


class Profile(msgspec.Struct):
    """Of a profile's description, whether it can be used."""

    status: str | None = None


class DigiCertMpki:
    """`interfaces.Authority`, `FindsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of a DigiCert authority."""
        self.name = record.name
        self.version = record.version
        self._profile, self._key = documents.profile_and_key(record)
        self._ca = Upstream(record, surroundings, called="DigiCert Trust Lifecycle Manager")
        self._days = record.settings.get("maxValidityDays")
        self._url = (record.settings.get("baseUrl") or surroundings.digicert_url).rstrip("/") + "/mpki/api"

    async def probe(self) -> Standing:
        """See `Probes`: the profile can be read with the key, and is active."""
        url = f"{self._url}/v2/profile/{quote(self._profile, safe='')}"
        profile = self._read(await self._asked("GET", url), Profile)
        if (profile.status or "").upper() != "ACTIVE":
            raise UpstreamRejected("DigiCert says that the profile is not active.", rule="ca-refused")
        return Standing()

    async def order(self, order: Order) -> OrderAnswer:
        body = msgspec.json.encode(self._enrollment(order))
        answer = await self._ca.send(order, "POST", f"{self._url}/v1/certificate", body, self._headers())
        if not isinstance(answer, HTTPAnswer):
            return answer
        if answer.status not in {200, 201}:
            return self._ca.refused(order, answer, documents.words(answer.body))
        try:
            document = documents.read(answer.body, Issued, "an enrollment document")
            found = intake.certificates(document.certificate or "")
        except documents.Garbled as error:
            return self._ca.unreadable(str(error))
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        return self._ca.delivered(order, found, document.serial_number)

    async def find(self, order: Order) -> Sequence[IssuedChain]:
        """See `FindsOrder`. One page is read: a seat has few certificates."""
        name = order.registration_id.text
        query = {
            "profile_id": self._profile,
            "seat_id": name,
            "common_name": name,
            "status": "issued",
            "offset": 0,
            "limit": PAGE_SIZE,
        }
        url = f"{self._url}/v1/certificate-search?{urlencode(query)}"
        records = self._read(await self._asked("GET", url), Search).items
        matched = (self._match(order, record) for record in records)
        found = [answer.issued for answer in matched if isinstance(answer, Delivered)]
        return sorted(found, key=lambda issued: (issued.not_before, issued.serial), reverse=True)

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        url = f"{self._url}/v1/certificate/{documents.serial_hex(certificate)}"
        query = urlencode({"thumbprint_sha256": certificate.sha256.hex()})
        body = msgspec.json.encode({"revocation_reason": documents.REASONS[reason]})
        answer = await self._ca.ask("PUT", f"{url}/revoke?{query}", body, self._headers())
        if answer.status == 204:
            return
        if self._read(await self._asked("GET", url), Issued).status != "revoked":
            raise self._ca.rejection(answer, documents.words(answer.body))

    def _enrollment(self, order: Order) -> dict[str, Any]:
        name = order.registration_id.text
        validity = {"validity": {"unit": "days", "duration": self._days}} if self._days else {}
        return {
            "profile": {"id": self._profile},
            "seat": {"seat_id": name},
            "csr": order.request.csr.public_bytes(Encoding.PEM).decode("ascii"),
            "delivery_format": "x509",
            "include_ca_chain": True,
            "attributes": {"subject": {"common_name": name}},
            **validity,
        }

    def _match(self, order: Order, record: Issued) -> object:
        try:
            return self._ca.match(order, intake.certificates(record.certificate or ""), record.serial_number)
        except UpstreamRejected:
            return None

    async def _asked(self, method: str, url: str) -> HTTPAnswer:
        """Raises UpstreamUnavailable or UpstreamRejected."""
        answer = await self._ca.ask(method, url, headers=self._headers())
        if answer.status != 200:
            raise self._ca.rejection(answer, documents.words(answer.body))
        return answer

    def _read(self, answer: HTTPAnswer, kind: type[documents.Document]) -> documents.Document:
        return documents.answered(answer.body, kind, "DigiCert", RETRY_S)

    def _headers(self) -> dict[str, str | Secret]:
        return {"x-api-key": self._key, "Accept": "application/json", "Content-Type": "application/json"}
