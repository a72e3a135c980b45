"""ACME: one order for each certificate, taken through its states (RFC 8555, section 7.4); its address is the handle.

`order` only makes the order; nothing is signed before `poll` has proven its identifier and finalized it, so the handle is
durable by then, and whatever is lost or broken off is read again at that address. The identifier is the registration id.
The CA must accept it without a challenge (an account that is authorized beforehand) or by http-01, which the plain port
answers. An answer that can't be read leaves the order pending: the certificate stays to be fetched.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import intake
from accredit.authorities.acme.session import Problem, Session, problem_of, words_of
from accredit.authorities.jose import SigningKey, encoded
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.egress import AnswerLost, HTTPAnswer, NotSent
from accredit.interfaces import Deferred, OrderAnswer, Pending, Rejected, Standing, Unknown
from accredit.policy.retry import retry_after_s

PENDING_RETRY_S = 1
MAX_HANDLE_CHARS = 2_000
MAX_AUTHORIZATIONS = 4
IDENTIFIERS = ("dns", "permanent-identifier")


class _Order(msgspec.Struct):
    status: str
    authorizations: list[str] = []
    finalize: str = ""
    certificate: str = ""


class _Challenge(msgspec.Struct):
    type: str
    url: str = ""
    token: str = ""
    status: str = ""
    error: Problem | None = None


class _Authorization(msgspec.Struct):
    status: str
    challenges: list[_Challenge] = []


class Acme:
    """`interfaces.Authority`, `PollsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of an ACME authority."""
        self.name = record.name
        self.version = record.version
        self._ca = Upstream(
            record, surroundings, called="The ACME server", credentials="eabKeyId and eabHmacKey"
        )
        self._challenges = surroundings.challenges
        settings = record.settings
        self._identifier = str(settings.get("identifier", IDENTIFIERS[0]))
        if self._identifier not in IDENTIFIERS:
            raise Malformed(
                f"identifier of authority {record.name} is not one of {', '.join(IDENTIFIERS)}.",
                rule="ca-settings",
            )
        key_id, mac_key = settings.get("eabKeyId"), record.secrets.get("eabHmacKey")
        try:
            key = SigningKey.of_seed(record.secrets["accountKey"].reveal())
            self._session = Session(
                self._ca, str(settings.get("directoryUrl", "")), key, str(settings.get("accountEmail", ""))
            )
            if key_id and mac_key:
                self._session.bind(str(key_id), mac_key.reveal().decode("ascii"))
        except (KeyError, ValueError):
            raise Malformed(
                f"eabHmacKey of authority {record.name} is not base64url.", rule="ca-settings"
            ) from None

    async def probe(self) -> Standing:
        """See `Probes`: there is an account, or one could be made."""
        try:
            await self._session.account()
        except (NotSent, AnswerLost) as error:
            raise self._unreachable(error) from None
        return Standing()

    async def order(self, order: Order) -> OrderAnswer:
        try:
            directory = await self._session.directory()
            answer = await self._session.post(directory.new_order, {"identifiers": [self._named(order)]})
            if answer.status != 201:
                raise self._session.failure(answer)
            handle = self._session.place(answer)
        except NotSent as error:
            return self._ca.not_sent(order, error)
        except AnswerLost as error:
            # An order that is not finalized is nothing yet.
            return Deferred(f"{self._ca.called} was asked, but {error.reason}.", self._ca.wait_s(order, None))
        except UpstreamUnavailable as error:
            return Deferred(error.message, error.retry_after_s)
        except UpstreamRejected as error:
            return Rejected(error.message, error.rule)
        if len(handle) > MAX_HANDLE_CHARS:
            return Rejected(f"{self._ca.called} calls its order by too long an address.", "ca-refused")
        return Pending(handle, 0)

    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        """Take the order on by what it is in now."""
        state = ""
        try:
            found: _Order = await self._read(handle, _Order)
            state = found.status
            if state == "ready":
                return await self._finalize(order, handle, found)
            if state == "valid":
                return await self._fetch(order, handle, found)
            if state == "invalid":
                return await self._turned_down(found)
            if state == "pending":
                for url in found.authorizations[:MAX_AUTHORIZATIONS]:
                    await self._prove(url)
            return Pending(handle, PENDING_RETRY_S)
        except (NotSent, AnswerLost):
            return Pending(handle, self._ca.wait_s(order, None))
        except UpstreamUnavailable as error:
            return Pending(handle, error.retry_after_s)
        except UpstreamRejected as error:
            if state == "pending":
                return Rejected(error.message, error.rule)
            # The order stands, and may be valid by now.
            return Unknown(error.message)

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        """See `Revokes`. A reason that the CA does not know becomes none (section 7.6)."""
        document: dict[str, Any] = {"certificate": encoded(certificate.leaf), "reason": reason.code}
        try:
            url = (await self._session.directory()).revoke_cert
            answer = await self._session.post(url, document)
            if problem_of(answer) == "badRevocationReason":
                answer = await self._session.post(url, {"certificate": document["certificate"]})
        except (NotSent, AnswerLost) as error:
            raise self._unreachable(error) from None
        if answer.status != 200 and problem_of(answer) != "alreadyRevoked":
            raise self._session.failure(answer)

    # One order.

    def _named(self, order: Order) -> dict[str, str]:
        names = order.registration_id
        return {"type": self._identifier, "value": names.key if self._identifier == "dns" else names.text}

    async def _prove(self, url: str) -> None:
        authorization = await self._read(url, _Authorization)
        if authorization.status != "pending":
            return
        chosen = next((one for one in authorization.challenges if one.type == "http-01"), None)
        if chosen is None:
            raise UpstreamRejected(
                f"{self._ca.called} asks for a proof that this service can't give; it can give http-01.",
                rule="ca-refused",
            )
        if chosen.status == "pending":
            self._challenges.hold(chosen.token, self._session.key_authorization(chosen.token))
            await self._session.post(chosen.url, {})

    async def _finalize(self, order: Order, handle: str, found: _Order) -> OrderAnswer:
        csr = encoded(order.request.csr.public_bytes(Encoding.DER))
        answer = await self._session.post(found.finalize, {"csr": csr})
        if answer.status == 200:
            return Pending(handle, self._asked_s(answer) or 0)
        if problem_of(answer) == "orderNotReady":
            return Pending(handle, PENDING_RETRY_S)
        failure = self._session.failure(answer)
        if isinstance(failure, UpstreamUnavailable):
            return Pending(handle, failure.retry_after_s)
        words = words_of(answer)
        if not words:
            return Rejected(failure.message, failure.rule)
        # The account was let in; what is turned down is the CSR.
        return Rejected(f"{self._ca.called} turned the CSR down ({self._ca.line(words)}).", "ca-refused")

    async def _turned_down(self, found: _Order) -> Rejected:
        """With the words of what could not be proven, where that is why."""
        words = ""
        for url in found.authorizations[:MAX_AUTHORIZATIONS]:
            authorization: _Authorization = await self._read(url, _Authorization)
            for challenge in authorization.challenges:
                words = words or (challenge.error.detail if challenge.error else "")
        said = f" ({self._ca.line(words)})" if words else ""
        return Rejected(f"{self._ca.called} turned the order down{said}.", "ca-refused")

    async def _fetch(self, order: Order, handle: str, found: _Order) -> OrderAnswer:
        answer = await self._session.post(found.certificate)
        if answer.status != 200:
            raise self._session.failure(answer)
        try:
            certificates = intake.certificates(answer.body)
        except UpstreamRejected:
            return Pending(handle, self._ca.wait_s(order, None))
        return self._ca.delivered(order, certificates, found.certificate)

    async def _read(self, url: str, kind: type[Any]) -> Any:
        """Raises what a call raises, and UpstreamUnavailable where the answer can't be read."""
        answer = await self._session.post(url)
        if answer.status != 200:
            raise self._session.failure(answer)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (ValueError, RecursionError):
            raise UpstreamUnavailable(
                f"{self._ca.called} answered what can't be read.",
                rule="ca-unavailable",
                retry_after_s=self._ca.pause_s(None),
            ) from None

    def _asked_s(self, answer: HTTPAnswer) -> int | None:
        return retry_after_s(answer.retry_after, self._ca.clock.now())

    def _unreachable(self, error: NotSent | AnswerLost) -> UpstreamUnavailable | UpstreamRejected:
        reason = f"{self._ca.called} can't be reached: {error.reason}."
        if isinstance(error, NotSent) and error.refused:
            return UpstreamRejected(reason, rule="ca-egress-refused")
        return UpstreamUnavailable(reason, rule="ca-unavailable", retry_after_s=self._ca.pause_s(None))
