"""A CA behind HTTP, as every connector of that kind meets it: exchanges sorted by whether the CA can have acted.

One question decides what a failed order means: can the CA have signed? `NotSent` and a clear "not now" say no
(`Deferred`), a clear "no" ends it (`Rejected`), everything else leaves it open (`Unknown`). What is delivered is judged
here too, the same way for all. Not here: any CA's dialect, storing, retrying, waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accredit import __version__
from accredit.authorities import intake
from accredit.authorities.challenges import HeldChallenges
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import Order
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.egress import AnswerLost, Egress, HTTPAnswer, NotSent
from accredit.interfaces import Clock, Deferred, Delivered, OrderAnswer, Rejected, Unknown
from accredit.policy.delivered import check_delivered, stray
from accredit.policy.retry import AUTHORITY_RETRY, jitter_of, retry_after_s
from accredit.values import dataclass, field

ORDER_DEADLINE_S = 30.0
CONNECT_DEADLINE_S = 5.0
MAX_REFERENCE_CHARS = 200
MAX_SAID_CHARS = 200
MAX_CLOCK_LAG_S = 3600
"""A certificate that is found is ours only when it is not older than the intent, minus this: CAs backdate."""

_UNAVAILABLE = frozenset({429, 503})
_TIMED_OUT = 408

Headers = Mapping[str, str | Secret]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the service hands a connector beside its record. `egress` is the authority's own pool of connections."""

    egress: Egress
    clock: Clock
    digicert_url: str = ""
    challenges: HeldChallenges = field(default_factory=HeldChallenges)
    deadline_s: float = ORDER_DEADLINE_S


class Upstream:
    """One configured CA; `called` is how sentences name it.

    `credentials` are the members to look at where the CA does not let us in, the record's secrets where it is not given.
    Of the record it takes `trustAnchors` (what an answer must chain to) and `maxValidityDays`.
    """

    def __init__(
        self, record: AuthorityRecord, surroundings: Surroundings, *, called: str, credentials: str = ""
    ) -> None:
        """Raises Malformed where the record's members can't be used."""
        self.called = called
        self.clock = surroundings.clock
        self.deadline_s = surroundings.deadline_s
        self._egress = surroundings.egress
        self._kept = self._hidden = tuple(record.secrets.values())
        self._credentials = credentials or " and ".join(sorted(record.secrets)) or "credentials"
        days = record.settings.get("maxValidityDays")
        self._max_validity_s = days * 86_400 if days else None
        pem = record.settings.get("trustAnchors")
        try:
            self.anchors = intake.certificates(pem) if pem else ()
        except UpstreamRejected:
            raise Malformed(
                f"trustAnchors of authority {record.name} is not one or more PEM certificates.",
                rule="ca-settings",
            ) from None

    def hide(self, secret: Secret) -> None:
        """Repeat this one nowhere either; it takes the place of the last one that was hidden so."""
        self._hidden = (*self._kept, secret)

    # One exchange.

    async def exchange(
        self, method: str, url: str, body: bytes = b"", headers: Headers | None = None
    ) -> HTTPAnswer:
        """One request, whatever is answered. Raises NotSent or AnswerLost."""
        fields: dict[str, str | Secret] = {"User-Agent": f"accredit/{__version__}", **(headers or {})}
        return await self._egress.exchange(
            method,
            url,
            headers=fields,
            body=body,
            deadline_s=self.deadline_s,
            connect_s=CONNECT_DEADLINE_S,
        )

    async def send(
        self, order: Order, method: str, url: str, body: bytes, headers: Headers | None = None
    ) -> HTTPAnswer | OrderAnswer:
        """The exchange that may make the CA sign: the CA's answer, or what its absence means for the order."""
        try:
            return await self.exchange(method, url, body, headers)
        except NotSent as error:
            return self.not_sent(order, error)
        except AnswerLost as error:
            return Unknown(f"{self.called} was asked, but {error.reason}.")

    def not_sent(self, order: Order, error: NotSent) -> Deferred | Rejected:
        """What an exchange that never began means for an order."""
        reason = f"{self.called} can't be reached: {error.reason}."
        if error.refused:
            return Rejected(reason, "ca-egress-refused")
        return Deferred(reason, self.wait_s(order, None))

    async def ask(
        self, method: str, url: str, body: bytes = b"", headers: Headers | None = None
    ) -> HTTPAnswer:
        """An exchange that makes nobody sign: a probe, a look-up, a revocation.

        Returns every answer that is neither "not now" nor a failure of the CA's own. Raises UpstreamUnavailable for
        those, and where no answer came; UpstreamRejected where our own rules forbid the connection.
        """
        try:
            answer = await self.exchange(method, url, body, headers)
        except (NotSent, AnswerLost) as error:
            reason = f"{self.called} can't be reached: {error.reason}."
            if isinstance(error, NotSent) and error.refused:
                raise UpstreamRejected(reason, rule="ca-egress-refused") from None
            raise UpstreamUnavailable(
                reason, rule="ca-unavailable", retry_after_s=self.pause_s(None)
            ) from None
        if answer.status in _UNAVAILABLE or answer.status >= 500:
            raise UpstreamUnavailable(
                f"{self.called} answered {answer.status}.",
                rule="ca-unavailable",
                retry_after_s=self.pause_s(answer),
            )
        return answer

    # What an answer means.

    def refused(
        self, order: Order, answer: HTTPAnswer, words: str = "", *, unsure: bool = False
    ) -> OrderAnswer:
        """What an answer without a certificate means for the order; `words` are the CA's own, already read.

        `unsure` when the CA's words leave it open whether it signed.
        """
        said = self.said(answer, words)
        if answer.status in _UNAVAILABLE:
            return Deferred(said, self.wait_s(order, answer))
        if unsure or answer.status == _TIMED_OUT or not 300 <= answer.status < 500:
            return Unknown(said)
        return Rejected(said, rule_of(answer.status))

    def rejection(self, answer: HTTPAnswer, words: str = "") -> UpstreamRejected:
        """The same for an exchange that orders nothing, to be raised."""
        return UpstreamRejected(self.said(answer, words), rule=rule_of(answer.status))

    def said(self, answer: HTTPAnswer, words: str = "") -> str:
        """One sentence for the operator, with the CA's own words and never with a secret of the record."""
        line = self.line(words)
        sentence = f"{self.called} answered {answer.status}" + (f" ({line})." if line else ".")
        if answer.status in {401, 403}:
            return (
                sentence
                + f" Check the authority's {self._credentials}, until when it is good, and what it may do."
            )
        if 300 <= answer.status < 400:
            return sentence + " Redirects are not followed; check the authority's address."
        return sentence

    def line(self, text: str) -> str:
        """What a CA wrote, as one printable line of bounded length that repeats no secret of ours."""
        for secret in self._hidden:
            text = text.replace(secret.reveal().decode("latin-1"), "...")
        shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return shown if len(shown) <= MAX_SAID_CHARS else shown[: MAX_SAID_CHARS - 3] + "..."

    def delivered(
        self, order: Order, found: Sequence[bytes], reference: str | None = None
    ) -> Delivered | Rejected:
        """Judge what came back (DER, any order) against what was ordered; `reference` is the CA's name for it."""
        name = reference[:MAX_REFERENCE_CHARS] if reference else None
        try:
            issued = check_delivered(
                order, found, self.anchors, self._max_validity_s, int(self.clock.now()), name
            )
        except UpstreamRejected as error:
            return Rejected(error.message, error.rule, stray(order, found, name))
        return Delivered(issued)

    def match(
        self, order: Order, found: Sequence[bytes], reference: str | None = None
    ) -> Delivered | Rejected | None:
        """The same for what a look-up found, its leaf first; None when that is of another key, another name, or too old."""
        try:
            leaf = intake.parsed(found[0])
        except (UpstreamRejected, IndexError):
            return None
        ours = (
            intake.spki_of(leaf) == order.request.spki_der
            and (intake.common_name(leaf) or "").lower() == order.registration_id.key
            and leaf.not_valid_before_utc.timestamp() >= order.since - MAX_CLOCK_LAG_S
        )
        return self.delivered(order, found, reference) if ours else None

    def unreadable(self, error: UpstreamRejected | str) -> Unknown:
        """The CA took the order, but what it answered can't be read."""
        reason = error if isinstance(error, str) else error.message
        return Unknown(f"{self.called} took the order, but {reason[:1].lower()}{reason[1:].rstrip('.')}.")

    def wait_s(self, order: Order, answer: HTTPAnswer | None) -> int:
        """Seconds until the order may be tried again: what the CA asks for, else our own schedule."""
        asked = retry_after_s(answer.retry_after, self.clock.now()) if answer is not None else None
        jitter = jitter_of(f"{order.operation_id}/{order.attempt}")
        return asked or AUTHORITY_RETRY.wait_s(order.attempt, jitter)

    def pause_s(self, answer: HTTPAnswer | None) -> int:
        asked = retry_after_s(answer.retry_after, self.clock.now()) if answer is not None else None
        return asked or AUTHORITY_RETRY.wait_s(1, 0.0)


def rule_of(status: int) -> str:
    """The rule that a "no" with this HTTP status broke."""
    return "ca-credentials" if status in {401, 403} else "ca-refused"
