"""An EST server as the CA (RFC 7030): simpleenroll, with a password or a client certificate of this service's own.

An answer holds the issued certificate; what stands above it is told by cacerts, asked for before an order and kept for a day. 202 means
that the same request is to be sent again. EST can neither revoke nor look anything up: a lost answer stays lost, because not
every server knows a repeated request again. Bodies are read and made in `wire/est.py`.
"""

from __future__ import annotations

from accredit.authorities.upstream import Headers, Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import Order
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.egress import HTTPAnswer
from accredit.interfaces import Deferred, OrderAnswer, Pending, Rejected, Standing
from accredit.policy.retry import retry_after_s
from accredit.wire import est

CHAIN_KEPT_S = 86_400
PENDING_RETRY_S = 10
MIN_PENDING_S = 5
MAX_WORDS_BYTES = 1_000


class Est:
    """`interfaces.Authority`, `PollsOrder` and `Probes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of an EST authority. The client certificate is the pool's."""
        self.name = record.name
        self.version = record.version
        self._ca = Upstream(record, surroundings, called="The EST server")
        base = str(record.settings.get("url", "")).rstrip("/").removesuffix(est.WELL_KNOWN)
        label = str(record.settings.get("label", "")).strip("/")
        self._url = f"{base}{est.WELL_KNOWN}/{label + '/' if label else ''}"
        self._credentials = self._basic(record)
        self._chain: tuple[bytes, ...] = ()
        self._chain_until = 0.0

    def _basic(self, record: AuthorityRecord) -> Headers:
        user, password = record.settings.get("username"), record.secrets.get("password")
        if user and password:
            value = est.basic(str(user), password)
            self._ca.hide(Secret(value.reveal().removeprefix(b"Basic ")))
            return {"Authorization": value}
        if (
            user
            or password
            or not (record.settings.get("clientCertificate") and record.secrets.get("clientKey"))
        ):
            raise Malformed(
                f"Authority {record.name} needs username and password, or clientCertificate and clientKey.",
                rule="ca-settings",
            )
        return {}

    async def probe(self) -> Standing:
        """See `Probes`. cacerts asks for no credentials, and nothing else can be asked without ordering."""
        return Standing(await self._cacerts())

    async def order(self, order: Order) -> OrderAnswer:
        return await self._enroll(order)

    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        """The same request again (RFC 7030, 4.2.3)."""
        answer = await self._enroll(order)
        # A server that can't be asked now has taken the order all the same.
        return Pending(handle, answer.retry_after_s) if isinstance(answer, Deferred) else answer

    async def _enroll(self, order: Order) -> OrderAnswer:
        try:
            chain = await self._above()
        except UpstreamUnavailable as error:
            return Deferred(error.message, error.retry_after_s)
        except UpstreamRejected as error:
            return Rejected(error.message, error.rule)
        headers = {"Content-Type": est.PKCS10, **self._credentials}
        body = est.request_body(order.request.der)
        answer = await self._ca.send(order, "POST", self._url + "simpleenroll", body, headers)
        if not isinstance(answer, HTTPAnswer):
            return answer
        if answer.status == 202:
            asked = retry_after_s(answer.retry_after, self._ca.clock.now()) or PENDING_RETRY_S
            return Pending(order.request.csr_sha256.hex(), max(asked, MIN_PENDING_S))
        if answer.status == 200:
            return await self._issued(order, answer, chain)
        return self._ca.refused(order, answer, _words(answer))

    async def _issued(self, order: Order, answer: HTTPAnswer, chain: tuple[bytes, ...]) -> OrderAnswer:
        try:
            found = est.certificates(answer.body)
        except UpstreamRejected as error:
            return self._ca.unreadable(error)
        judged = self._ca.delivered(order, _once(found, chain))
        if not isinstance(judged, Rejected):
            return judged
        try:
            # The server may sign with another CA since its certificates were asked for.
            renewed = await self._cacerts()
        except (UpstreamUnavailable, UpstreamRejected):
            return judged
        return judged if renewed == chain else self._ca.delivered(order, _once(found, renewed))

    async def _above(self) -> tuple[bytes, ...]:
        if self._chain and self._ca.clock.now() < self._chain_until:
            return self._chain
        return await self._cacerts()

    async def _cacerts(self) -> tuple[bytes, ...]:
        """DER, in the server's order. Raises UpstreamUnavailable or UpstreamRejected."""
        answer = await self._ca.ask("GET", self._url + "cacerts", headers=self._credentials)
        if answer.status != 200:
            raise self._ca.rejection(answer, _words(answer))
        self._chain = est.certificates(answer.body)
        self._chain_until = self._ca.clock.now() + CHAIN_KEPT_S
        return self._chain


def _once(found: tuple[bytes, ...], chain: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys((*found, *chain)))


def _words(answer: HTTPAnswer) -> str:
    """What the server says of a refusal, where it says it in words."""
    if answer.content_type != "text/plain":
        return ""
    return answer.body[:MAX_WORDS_BYTES].decode("utf-8", "replace")
