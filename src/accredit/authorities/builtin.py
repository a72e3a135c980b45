"""The built-in CA as an authority: its keys and certificates live in its own record, so it needs nothing but that.

It answers in process and at once; an answer that is never committed was never shown to anybody. With its key in a token it
is as one outside: an order waits for the token, what that has signed may be lost on the way, and so the number is reserved
first (`ca/serials.py`). What is in the record is told in `ca/holdings.py`. Until an issuing CA is activated, every order is
refused.
"""

from __future__ import annotations

from contextlib import suppress

from accredit.ca import holdings
from accredit.ca.ceremony import Ceremony
from accredit.ca.holdings import Held
from accredit.ca.points import Points
from accredit.ca.serials import ReservedSerials
from accredit.ca.template import LeafTemplate
from accredit.ca.token_keys import ANSWER_LOST, TokenKey
from accredit.ca.tokens import Tokens
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import DEFAULT_PROFILE, Order, Profile
from accredit.domain.errors import Malformed, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.interfaces import (
    Clock,
    Deferred,
    Delivered,
    Entropy,
    OrderAnswer,
    Rejected,
    Stale,
    StoreUnavailable,
    Unknown,
)
from accredit.policy.issuance import check_name_length
from accredit.values import dataclass

TYPE = "BuiltIn"
"""Its `certificateAuthorityType`."""

CLOCK_RETRY_S = 60
MAX_TEMPLATES = 256
"""Each is some kilobytes; profiles that changed leave theirs behind."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What signs with keys in tokens, and where the numbers for it are reserved."""

    tokens: Tokens
    serials: ReservedSerials


class BuiltInAuthority:
    """Implements `interfaces.Authority` with keys of our own."""

    in_process = True

    def __init__(
        self,
        record: AuthorityRecord,
        entropy: Entropy,
        clock: Clock,
        public_url: str | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        """`public_url` is where third parties ask about what it issues.

        Raises ValueError when the record's key and certificates don't belong together, or a key is in a token and there is
        no `hardware`.
        """
        held = holdings.read(record, None if hardware is None else hardware.tokens)
        self.name = record.name
        self.version = record.version
        self._held = held.current
        self._chain = tuple(dict.fromkeys(der for each in held.all if not each.revoked for der in each.chain))
        self._templates: dict[Profile, LeafTemplate] = {}
        self._points = Points(public_url, self._held.key_id) if public_url and self._held else None
        self._usual = self._template(self._held, DEFAULT_PROFILE) if self._held else None
        self._hardware: Hardware | None = None
        if self._held is not None and isinstance(self._held.issuer.key, TokenKey):
            self._hardware, self.in_process = hardware, False
        self._entropy = entropy
        self._clock = clock

    @staticmethod
    def found(
        name: AuthorityName, entropy: Entropy, clock: Clock, public_url: str | None = None
    ) -> AuthorityRecord:
        """Make keys and certificates for a new built-in CA."""
        now = int(clock.now())
        settings, secrets = Ceremony(entropy, public_url).found(name, now)
        return AuthorityRecord(
            name=name,
            type=TYPE,
            settings=settings,
            secrets=secrets,
            version=entropy.token(16).hex(),
            etag=entropy.token(16).hex(),
            created_at=now,
            updated_at=now,
        )

    def chain(self) -> tuple[bytes, ...]:
        """See `TellsChain`."""
        return self._chain

    async def order(self, order: Order) -> OrderAnswer:
        now = int(self._clock.now())
        if self._held is None:
            return Rejected("The authority has no issuing CA: activate one.", rule="ca-not-activated")
        if now < self._held.issuer.not_before:
            return Deferred("The issuing CA is not valid yet: the clock has gone back.", CLOCK_RETRY_S)
        if now >= self._held.issuer.not_after:
            return Rejected("The issuing CA has expired.", rule="ca-expired")
        try:
            check_name_length(order.registration_id)
        except Malformed as refusal:
            return Rejected(refusal.message, rule=refusal.rule)
        try:
            template = self._usual if order.profile is DEFAULT_PROFILE else None
            template = template or self._template(self._held, order.profile)
            if self._hardware is None:
                return Delivered(template.issue(order, now, self._entropy))
            return await self._from_token(self._hardware, self._held, template, order, now)
        except Malformed as refusal:
            return Rejected(refusal.message, rule=refusal.rule)

    async def _from_token(
        self, hardware: Hardware, held: Held, template: LeafTemplate, order: Order, now: int
    ) -> OrderAnswer:
        """Raises Malformed. A number whose signing was broken off stays in doubt, and is settled as a crash's."""
        serials = hardware.serials
        try:
            serial = await serials.take(self.name, held.issuer.not_after)
        except (StoreUnavailable, Stale):
            return Deferred("Serial numbers can't be reserved now.", CLOCK_RETRY_S)
        try:
            return Delivered(await hardware.tokens.run(template.issue_as, serial, order, now))
        except Malformed:
            serials.give_back(self.name, serial)
            raise
        except UpstreamUnavailable as failure:
            if failure.rule == ANSWER_LOST:
                with suppress(StoreUnavailable):  # then it is lost when its lease ends
                    await serials.lose(self.name, serial)
                return Unknown(failure.message)
            serials.give_back(self.name, serial)
            return Deferred(failure.message, failure.retry_after_s)

    def _template(self, held: Held, profile: Profile) -> LeafTemplate:
        """What all leaves of a profile have in common is encoded once."""
        made = self._templates.get(profile)
        if made is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            made = LeafTemplate(held.issuer, held.chain[1:], self._points, profile)
            self._templates[profile] = made
        return made
