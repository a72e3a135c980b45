"""A CA that speaks the Certificate Management Protocol over HTTP (RFC 4210, 6712), met with a shared secret.

An order is P10CR, answered by CP; where the CA does not grant implicit confirmation the certificate is taken, or turned
down, by CERTCONF, and one that is not confirmed is the CA's to withdraw. A CA that wants time is polled in the same
transaction, whose names are the handle. Nothing can be looked up. What is delivered or revoked must be protected by the
secret; a bare "no" is believed, as an HTTP 400 is of any CA.
"""

from __future__ import annotations

import re
import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from accredit.authorities import intake
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.egress import HTTPAnswer
from accredit.interfaces import Deferred, Delivered, OrderAnswer, Pending, Rejected, Standing, Unknown
from accredit.values import dataclass, replace
from accredit.wire import cmp
from accredit.wire.der import BadDer

CONTENT_TYPE = "application/pkixcmp"
MAX_WAIT_S = 300
RETRY_S = 10

_HANDLE = re.compile(r"((?:[0-9a-f]{2}){1,32})\.((?:[0-9a-f]{2}){0,64})\.(-?[0-9]{1,19})")
_ACCEPTED, _WITH_CHANGES, _WAITING = 0, 1, 3
_REVOKED = frozenset({_ACCEPTED, _WITH_CHANGES, 4, 5})
_CERT_REVOKED = 10
_UNTRUSTED = (1, 12, 20, 23)
"""badMessageCheck, wrongIntegrity, signerNotTrusted, notAuthorized."""
_TRANSACTION_IN_USE, _UNAVAILABLE, _FAILURE, _DUPLICATE = 21, 24, 25, 26


@dataclass(frozen=True, slots=True)
class _Talk:
    """Where a transaction stands: its name, and the nonce of the CA's last message."""

    transaction: bytes
    answered: bytes = b""

    @classmethod
    def begun(cls) -> _Talk:
        return cls(secrets.token_bytes(16))

    def handle(self, request_id: int) -> str:
        return f"{self.transaction.hex()}.{self.answered.hex()}.{request_id}"


class Cmp:
    """`interfaces.Authority`, `PollsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of CMP."""
        self.name = record.name
        self.version = record.version
        url, reference, secret = (
            record.settings.get("url"),
            record.settings.get("reference"),
            record.secrets.get("secret"),
        )
        if not url or not reference or secret is None:
            raise Malformed(f"Authority {record.name} needs url, reference and secret.", rule="ca-settings")
        self._url = url
        self._password = cmp.Password(reference.encode(), secret)
        try:
            self._recipient = x509.Name.from_rfc4514_string(
                record.settings.get("recipient", "")
            ).public_bytes()
        except ValueError:
            raise Malformed(
                f"recipient of authority {record.name} is not a name such as CN=Issuing CA,O=Example.",
                rule="ca-settings",
            ) from None
        self._ca = Upstream(record, surroundings, called="The CMP server")

    async def probe(self) -> Standing:
        """See `Probes`: it answers a general message, if only that it knows none, and protects that with our secret."""
        answer = await self._asked(cmp.ca_certs())
        refused = self._refused(answer) if answer.kind == cmp.ERROR else None
        if refused is not None and (refused.rule == "ca-credentials" or not answer.proven(self._password)):
            raise refused
        return Standing()

    async def order(self, order: Order) -> OrderAnswer:
        return await self._told(order, _Talk.begun(), cmp.p10cr(order.request.der), implicit=True)

    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        """Ask in the same transaction. Where it can't be asked now it stays pending."""
        found = _HANDLE.fullmatch(handle)
        if found is None:
            return Unknown("The order's handle is not one of a CMP transaction.")
        talk = _Talk(bytes.fromhex(found[1]), bytes.fromhex(found[2]))
        answer = await self._told(order, talk, cmp.poll_req(int(found[3])))
        if isinstance(answer, Deferred):
            return Pending(handle, answer.retry_after_s)
        return answer

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        issuer = intake.parsed(certificate.leaf).issuer.public_bytes()
        answer = await self._asked(cmp.revocation(certificate.serial, issuer, reason.code))
        try:
            status = answer.status()
        except BadDer:
            raise self._garbled() from None
        done = status.failed(_CERT_REVOKED) or (answer.kind == cmp.RP and status.code in _REVOKED)
        # Whoever can say that it is done unproven could keep a certificate alive.
        if not (done and answer.proven(self._password)):
            raise self._refused(answer)

    # One order's answers.

    async def _told(self, order: Order, talk: _Talk, body: bytes, *, implicit: bool = False) -> OrderAnswer:
        """What the CA's answer to this message means for the order."""
        answer = await self._said(order, talk, body, implicit=implicit)
        if not isinstance(answer, cmp.Message):
            return answer
        talk = replace(talk, answered=answer.nonce)
        try:
            if answer.kind == cmp.ERROR:
                return self._turned_down(order, answer, answer.status())
            if answer.kind == cmp.POLL_REP:
                request_id, after_s = answer.poll_after()
                return Pending(talk.handle(request_id), min(max(after_s, 1), MAX_WAIT_S))
            if answer.kind != cmp.CP:
                return self._ca.unreadable("its answer is not one to an order")
            response = answer.response()
        except BadDer as error:
            return self._ca.unreadable(f"its answer is not what CMP prescribes: {error}")
        if response.status.code == _WAITING:
            return Pending(talk.handle(response.request_id), RETRY_S)
        if response.status.code not in {_ACCEPTED, _WITH_CHANGES}:
            return self._turned_down(order, answer, response.status)
        return await self._taken(order, talk, answer, response)

    async def _taken(
        self, order: Order, talk: _Talk, answer: cmp.Message, response: cmp.Response
    ) -> OrderAnswer:
        """Judge the certificate, and tell the CA so where it wants to know."""
        try:
            leaf = intake.parsed(response.certificate or b"")
            above = (*response.others, *answer.extra)
            for der in above:
                intake.parsed(der)
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        judged = self._ca.delivered(order, (response.certificate or b"", *above))
        if answer.implicit:
            return judged
        digest = leaf.fingerprint(leaf.signature_hash_algorithm or hashes.SHA512())
        body = cmp.cert_conf(digest, response.request_id, accepted=isinstance(judged, Delivered))
        confirmed = await self._said(order, talk, body)
        if isinstance(judged, Delivered) and not (
            isinstance(confirmed, cmp.Message) and confirmed.kind == cmp.PKICONF
        ):
            return Unknown(
                "The CMP server signed, but did not take our confirmation, so that it may withdraw the certificate."
            )
        return judged

    def _turned_down(self, order: Order, answer: cmp.Message, status: cmp.Status) -> OrderAnswer:
        if status.failed(_UNAVAILABLE):
            return Deferred(self._words(status), self._ca.wait_s(order, None))
        if any(status.failed(bit) for bit in (_TRANSACTION_IN_USE, _FAILURE, _DUPLICATE)):
            return Unknown(self._words(status))
        refused = self._refused(answer, status)
        return Rejected(refused.message, refused.rule)

    def _refused(self, answer: cmp.Message, status: cmp.Status | None = None) -> UpstreamRejected:
        """A "no". One that is protected by another secret is about ours."""
        try:
            status = status or answer.status()
        except BadDer:
            status = cmp.Status(2)
        stranger = answer.protected and not answer.proven(self._password)
        if stranger or any(status.failed(bit) for bit in _UNTRUSTED):
            said = self._words(status) + " Check the authority's reference and secret."
            return UpstreamRejected(said, rule="ca-credentials")
        return UpstreamRejected(self._words(status), rule="ca-refused")

    def _words(self, status: cmp.Status) -> str:
        said = self._ca.line(status.text) or f"status {status.code}"
        bits = ", ".join(str(bit) for bit in range(27) if status.failed(bit))
        return f"The CMP server turned it down ({said}{f'; failure {bits}' if bits else ''})."

    # Messages.

    async def _said(
        self, order: Order, talk: _Talk, body: bytes, *, implicit: bool = False
    ) -> cmp.Message | OrderAnswer:
        """The CA's next message in this transaction, proven unless it is an error; or what its absence means."""
        envelope = self._envelope(talk, implicit=implicit)
        data = cmp.message(body, envelope, self._password)
        answer = await self._ca.send(order, "POST", self._url, data, {"Content-Type": CONTENT_TYPE})
        if not isinstance(answer, HTTPAnswer):
            return answer
        try:
            message = self._read(answer, envelope)
        except BadDer as error:
            if answer.status != 200:
                return self._ca.refused(order, answer)
            return self._ca.unreadable(f"its answer is not to be taken: {error}")
        return message

    async def _asked(self, body: bytes) -> cmp.Message:
        """The answer to a message that makes nobody sign. Raises UpstreamUnavailable or UpstreamRejected."""
        envelope = self._envelope(_Talk.begun())
        data = cmp.message(body, envelope, self._password)
        answer = await self._ca.ask("POST", self._url, data, {"Content-Type": CONTENT_TYPE})
        try:
            return self._read(answer, envelope)
        except BadDer:
            if answer.status != 200:
                raise self._ca.rejection(answer) from None
            raise self._garbled() from None

    def _read(self, answer: HTTPAnswer, envelope: cmp.Envelope) -> cmp.Message:
        """Raises BadDer where it is not this transaction's next message."""
        message = cmp.parse(answer.body)
        if message.transaction != envelope.transaction:
            raise BadDer("it is of another transaction")
        if message.kind == cmp.ERROR:
            return message
        if message.answered != envelope.nonce:
            raise BadDer("it answers another message")
        if not message.proven(self._password):
            raise BadDer("it is not protected by our secret")
        return message

    def _envelope(self, talk: _Talk, *, implicit: bool = False) -> cmp.Envelope:
        return cmp.Envelope(
            transaction=talk.transaction,
            nonce=secrets.token_bytes(16),
            salt=secrets.token_bytes(16),
            now=self._ca.clock.now(),
            recipient=self._recipient,
            answered=talk.answered,
            implicit=implicit,
        )

    def _garbled(self) -> UpstreamUnavailable:
        message = "What came is not a message of CMP that our secret protects."
        return UpstreamUnavailable(message, rule="ca-unavailable", retry_after_s=RETRY_S)
