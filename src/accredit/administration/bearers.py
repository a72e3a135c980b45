"""Bearer tokens of an issuer that the operator named: whose they are, and whether they open a call.

The judgement is `policy/bearer.py`; this file looks up the key.
"""

from __future__ import annotations

from accredit.administration.issuer_keys import IssuerKeys
from accredit.domain.access import Right
from accredit.policy.access import refusal
from accredit.policy.bearer import Trusted, judged
from accredit.values import dataclass
from accredit.wire import bearer


@dataclass(frozen=True, slots=True)
class Bearers:
    """Tokens of one issuer: its keys, and what is taken from it."""

    keys: IssuerKeys
    trusted: Trusted

    async def admit(self, authorization: str, needed: Right, now: float) -> str:
        """Return whose token it is; raise Unauthenticated, or UpstreamUnavailable where the issuer can't be asked."""
        token = bearer.parse(authorization)
        subject, rights = judged(token, await self.keys.key(token.key_id), self.trusted, now)
        if needed not in rights:
            raise refusal("right-missing", f"{subject!r} of {self.trusted.issuer} does not carry {needed}")
        return f"{subject} of {self.trusted.issuer}"
