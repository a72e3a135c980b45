"""DigiCert ONE, IoT Trust Manager: orders a device certificate by enrollment profile and API key.

The API is DigiCert's `/iot/api/v1/certificate`: POST enrolls, GET lists. An enrollment that waits for an approver is
told by an answer without a certificate. No endpoint is documented that asks for one request by its id, so `poll`
looks in the list, as the recovery of a lost answer does.

What an answer means for the order rests on one question: can DigiCert have signed? It does not store, retry or wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlencode

from accredit import __version__
from accredit.authorities import intake
from accredit.authorities.digicert import documents
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.egress import AnswerLost, Egress, HTTPAnswer, NotSent
from accredit.interfaces import Clock, Deferred, Delivered, OrderAnswer, Pending, Rejected, Unknown
from accredit.policy.delivered import check_delivered, stray
from accredit.policy.retry import AUTHORITY_RETRY, jitter_of, retry_after_s

TYPE = "DigiCertCertificateAuthority"
ORDER_DEADLINE_S = 30.0
CONNECT_DEADLINE_S = 5.0
PENDING_RETRY_S = 10
PAGE_SIZE = 50
MAX_PAGES = 20
MAX_CLOCK_LAG_S = 3600
"""A certificate found in the list is ours only when it is not older than the intent, minus this: CAs backdate."""

_ENDED = frozenset({"REJECTED", "DENIED", "FAILED", "CANCELLED", "CANCELED"})
_DUPLICATE = "duplicate_error"


class DigiCertOne:
    """`interfaces.Authority`, `PollsOrder` and `FindsOrder`. `egress` is this authority's own pool."""

    in_process = False

    def __init__(
        self,
        record: AuthorityRecord,
        egress: Egress,
        base_url: str,
        clock: Clock,
        *,
        deadline_s: float = ORDER_DEADLINE_S,
    ) -> None:
        """Raises Malformed where the record is not one of a DigiCert authority."""
        self.name = record.name
        self.version = record.version
        self._profile, self._key, self._anchors, self._max_validity_s = _settings(record)
        self._egress = egress
        self._url = base_url.rstrip("/") + "/iot/api/v1/certificate"
        self._clock = clock
        self._deadline_s = deadline_s

    async def order(self, order: Order) -> OrderAnswer:
        try:
            answer = await self._call("POST", self._url, documents.enrollment(order, self._profile))
        except NotSent as error:
            reason = f"DigiCert ONE can't be reached: {error.reason}."
            if error.refused:
                return Rejected(reason, "ca-egress-refused")
            return Deferred(reason, self._wait_s(order, None))
        except AnswerLost as error:
            return Unknown(f"DigiCert ONE was asked, but {error.reason}.")
        if answer.status in {200, 201, 202}:
            return self._enrolled(order, answer)
        return self._refused(order, answer)

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

    # One order's answers.

    def _enrolled(self, order: Order, answer: HTTPAnswer) -> OrderAnswer:
        try:
            document = documents.enrolled(answer.body)
            found = intake.certificates(document.pem) if document.pem else ()
        except documents.Garbled as error:
            return Unknown(f"DigiCert ONE took the order, but {error}.")
        except UpstreamRejected as error:
            return Unknown(f"DigiCert ONE took the order, but its certificate is unreadable: {error.message}")
        if found:
            return self._checked(order, found, document.certificate_id)
        if (document.status or "").upper() in _ENDED:
            return Rejected("DigiCert ONE turned the request down.", "ca-refused")
        handle = document.certificate_request_id or document.certificate_id
        if not handle or len(handle) > documents.MAX_HANDLE_CHARS:
            return Unknown(
                "DigiCert ONE took the order, but its answer names neither certificate nor request."
            )
        wait_s = retry_after_s(answer.retry_after, self._clock.now())
        return Pending(handle, wait_s or PENDING_RETRY_S)

    def _checked(self, order: Order, found: tuple[bytes, ...], reference: str | None) -> Delivered | Rejected:
        name = reference[: documents.MAX_HANDLE_CHARS] if reference else None
        now = int(self._clock.now())
        try:
            return Delivered(check_delivered(order, found, self._anchors, self._max_validity_s, now, name))
        except UpstreamRejected as error:
            return Rejected(error.message, error.rule, stray(order, found, name))

    def _refused(self, order: Order, answer: HTTPAnswer) -> OrderAnswer:
        said = self._said(answer)
        duplicate = documents.problem(answer.body, "").code == _DUPLICATE
        if answer.status in {429, 503}:
            return Deferred(said, self._wait_s(order, answer))
        if duplicate or answer.status == 408 or not 300 <= answer.status < 500:
            return Unknown(said)
        return Rejected(said, _rule(answer.status))

    def _said(self, answer: HTTPAnswer) -> str:
        """One sentence for the operator, with the CA's own words and never with the key."""
        problem = str(documents.problem(answer.body, self._key.reveal().decode("latin-1")))
        sentence = f"DigiCert ONE answered {answer.status}" + (f" ({problem})." if problem else ".")
        if answer.status in {401, 403}:
            return sentence + " Check the authority's apiKey, its end date, and that it may use the profile."
        if 300 <= answer.status < 400:
            return sentence + " Redirects are not followed; check ACCREDIT_DIGICERT_URL."
        return sentence

    def _wait_s(self, order: Order, answer: HTTPAnswer | None) -> int:
        asked = retry_after_s(answer.retry_after, self._clock.now()) if answer is not None else None
        jitter = jitter_of(f"{order.operation_id}/{order.attempt}")
        return asked or AUTHORITY_RETRY.wait_s(order.attempt, jitter)

    # The list.

    async def _search(self, order: Order) -> tuple[list[IssuedChain], list[Rejected]]:
        """What the order has made: the certificates that pass the checks, the newest first, and those that do not."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._read_list(order)
        except TimeoutError:
            message = f"DigiCert ONE's list could not be read within {self._deadline_s:g} s."
            raise self._unavailable(order, message, None) from None

    async def _read_list(self, order: Order) -> tuple[list[IssuedChain], list[Rejected]]:
        found: dict[bytes, IssuedChain] = {}
        strays: list[Rejected] = []
        seen: set[str] = set()
        offset = 0
        for _ in range(MAX_PAGES):
            records = await self._page(order, offset)
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

    async def _page(self, order: Order, offset: int) -> list[documents.Listed]:
        query = {
            "enrollment_profile_id": self._profile,
            "common_name": order.registration_id.text,
            "certificate_type": "x509",
            "status": "ISSUED",
            "offset": offset,
            "limit": PAGE_SIZE,
        }
        try:
            answer = await self._call("GET", f"{self._url}/?{urlencode(query)}", b"")
        except (NotSent, AnswerLost) as error:
            raise self._unavailable(
                order, f"DigiCert ONE's list can't be read: {error.reason}.", None
            ) from None
        if answer.status == 429 or answer.status >= 500:
            raise self._unavailable(order, self._said(answer), answer)
        if answer.status != 200:
            raise UpstreamRejected(self._said(answer), rule=_rule(answer.status))
        try:
            return documents.listing(answer.body).records
        except documents.Garbled as error:
            raise self._unavailable(order, f"DigiCert ONE's list can't be read: {error}.", None) from None

    def _match(self, order: Order, record: documents.Listed) -> Delivered | Rejected | None:
        """None when the record is not this order's: another key, another name, or too old."""
        try:
            leaf = intake.parsed(intake.certificates(record.body or "")[0])
            found = intake.certificates(record.bundle)
        except UpstreamRejected:
            return None
        ours = (
            intake.spki_of(leaf) == order.request.spki_der
            and (intake.common_name(leaf) or "").lower() == order.registration_id.key
            and leaf.not_valid_before_utc.timestamp() >= order.since - MAX_CLOCK_LAG_S
        )
        return self._checked(order, found, record.id) if ours else None

    def _unavailable(self, order: Order, message: str, answer: HTTPAnswer | None) -> UpstreamUnavailable:
        return UpstreamUnavailable(message, rule="ca-unavailable", retry_after_s=self._wait_s(order, answer))

    async def _call(self, method: str, url: str, body: bytes) -> HTTPAnswer:
        headers: dict[str, str | Secret] = {
            "x-api-key": self._key,
            "Accept": "application/json",
            "User-Agent": f"accredit/{__version__}",
        }
        if body:
            headers["Content-Type"] = "application/json"
        return await self._egress.exchange(
            method,
            url,
            headers=headers,
            body=body,
            deadline_s=self._deadline_s,
            connect_s=CONNECT_DEADLINE_S,
        )


def _settings(record: AuthorityRecord) -> tuple[str, Secret, tuple[bytes, ...], int | None]:
    """Profile, key, trust anchors (DER) and longest life in seconds of a record; raises Malformed."""
    profile, key = record.settings.get("profileName"), record.secrets.get("apiKey")
    if not isinstance(profile, str) or not profile or key is None:
        raise Malformed(f"Authority {record.name} needs profileName and apiKey.", rule="ca-settings")
    pem, days = record.settings.get("trustAnchors"), record.settings.get("maxValidityDays")
    try:
        anchors = intake.certificates(pem) if pem else ()
    except UpstreamRejected:
        raise Malformed(
            f"trustAnchors of authority {record.name} is not one or more PEM certificates.",
            rule="ca-settings",
        ) from None
    return profile, key, anchors, days * 86_400 if days else None


def _rule(status: int) -> str:
    return "ca-credentials" if status in {401, 403} else "ca-refused"
