"""The built-in CA as an authority: its keys and certificates live in its own record, so it needs nothing but that.

It answers in process and at once; an answer that is never committed was never shown to anybody. The record's settings
hold `certificates` (PEM, the issuing CA's first, then the root's), its secrets `issuingKey` and `rootKey`.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.ca import hierarchy, keys
from accredit.ca.points import Points, key_id
from accredit.ca.template import LeafTemplate
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import DEFAULT_PROFILE, Order, Profile
from accredit.domain.errors import Malformed
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Clock, Deferred, Delivered, Entropy, OrderAnswer, Rejected
from accredit.policy.issuance import check_name_length

TYPE = "BuiltIn"
"""Its `certificateAuthorityType`."""

CLOCK_RETRY_S = 60
MAX_TEMPLATES = 256
"""Each is some kilobytes; profiles that changed leave theirs behind."""


class BuiltInAuthority:
    """Implements `interfaces.Authority` with keys of our own."""

    in_process = True

    def __init__(
        self, record: AuthorityRecord, entropy: Entropy, clock: Clock, public_url: str | None = None
    ) -> None:
        """`public_url` is where third parties ask about what it issues.

        Raises ValueError when the record's key and certificates don't belong together.
        """
        issuing, root = (
            x509.load_pem_x509_certificate(pem.encode()) for pem in record.settings["certificates"]
        )
        try:
            issuing.verify_directly_issued_by(root)
        except InvalidSignature:
            raise ValueError("the root did not sign the issuing CA") from None
        self.name = record.name
        self.version = record.version
        self._issuer = hierarchy.load(issuing, record.secrets["issuingKey"])
        self._chain = tuple(one.public_bytes(Encoding.DER) for one in (issuing, root))
        self._points = Points(public_url, key_id(issuing)) if public_url else None
        self._above = self._chain[1:]
        self._templates: dict[Profile, LeafTemplate] = {}
        self._usual = self._template(DEFAULT_PROFILE)
        self._not_before = self._issuer.not_before
        self._not_after = self._issuer.not_after
        self._entropy = entropy
        self._clock = clock

    @staticmethod
    def found(name: AuthorityName, entropy: Entropy, clock: Clock) -> AuthorityRecord:
        """Make keys and certificates for a new built-in CA."""
        now = int(clock.now())
        made = hierarchy.make(name.text, now, entropy)
        return AuthorityRecord(
            name=name,
            type=TYPE,
            settings={"certificates": [made.issuing.pem, made.root.pem]},
            secrets={"issuingKey": keys.encode(made.issuing.key), "rootKey": keys.encode(made.root.key)},
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
        if now < self._not_before:
            return Deferred("The issuing CA is not valid yet: the clock has gone back.", CLOCK_RETRY_S)
        if now >= self._not_after:
            return Rejected("The issuing CA has expired.", rule="ca-expired")
        try:
            check_name_length(order.registration_id)
        except Malformed as refusal:
            return Rejected(refusal.message, rule=refusal.rule)
        template = self._usual if order.profile is DEFAULT_PROFILE else self._template(order.profile)
        try:
            return Delivered(template.issue(order, now, self._entropy))
        except Malformed as refusal:
            return Rejected(refusal.message, rule=refusal.rule)

    def _template(self, profile: Profile) -> LeafTemplate:
        """What all leaves of a profile have in common is encoded once."""
        made = self._templates.get(profile)
        if made is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            made = self._templates[profile] = LeafTemplate(self._issuer, self._above, self._points, profile)
        return made
