"""The keys of an OpenID Connect issuer: asked for when a token needs one, kept, and asked for again when they change.

Start-up does not depend on the issuer, and neither do tokens whose key is known while it can't be reached. Whoever
sends tokens with invented key ids makes this ask at most once in `REFETCH_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from accredit.domain.access import VerifyingKey
from accredit.domain.errors import Unauthenticated, UpstreamUnavailable
from accredit.egress import AnswerLost, Egress, NotSent
from accredit.interfaces import Clock
from accredit.observe import log
from accredit.wire.issuer_keys import discovered_keys_url, verifying_keys

FRESH_S = 3_600
"""Then the keys are asked for again: what the issuer has withdrawn must end some time."""

KEPT_S = 86_400
"""How long known keys serve while the issuer can't be asked."""

REFETCH_S = 30
DEADLINE_S = 5.0


class IssuerKeys:
    """`keys_url` where the operator named it; else it is discovered."""

    def __init__(self, issuer: str, keys_url: str, egress: Egress, clock: Clock) -> None:
        self._issuer = issuer
        self._keys_url = keys_url
        self._egress = egress
        self._clock = clock
        self._keys: Mapping[str, VerifyingKey] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def key(self, key_id: str) -> VerifyingKey:
        """Raises Unauthenticated when the issuer has no such key, UpstreamUnavailable when it was never heard of."""
        if key_id not in self._keys or self._age() > FRESH_S:
            async with self._asking:
                if (key_id not in self._keys or self._age() > FRESH_S) and self._may_ask():
                    await self._ask()
        if self._age() > KEPT_S:
            raise UpstreamUnavailable(
                "The identity provider can't be asked for its keys now.",
                rule="issuer-unavailable",
                retry_after_s=REFETCH_S,
            )
        found = self._keys.get(key_id)
        if found is None:
            raise Unauthenticated(
                "Unauthorized", rule="bearer-key", evidence=f"the issuer has no key {key_id[:100]!r}"
            )
        return found

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    def _may_ask(self) -> bool:
        return self._asked_at is None or self._clock.monotonic() - self._asked_at >= REFETCH_S

    async def _ask(self) -> None:
        self._asked_at = self._clock.monotonic()
        try:
            url = self._keys_url or discovered_keys_url(
                await self._document(self._configuration()), self._issuer
            )
            keys = verifying_keys(await self._document(url))
        except (NotSent, AnswerLost, ValueError) as failure:
            log.warning("issuer-keys-not-read", issuer=self._issuer, reason=str(failure))
            return
        self._keys, self._fetched_at = keys, self._clock.monotonic()
        log.info("issuer-keys-read", issuer=self._issuer, keys=sorted(keys))

    def _configuration(self) -> str:
        return f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"

    async def _document(self, url: str) -> bytes:
        if not url.startswith("https://"):
            raise ValueError("its keys are not offered by https")
        answer = await self._egress.exchange(
            "GET", url, headers={"Accept": "application/json"}, deadline_s=DEADLINE_S, connect_s=DEADLINE_S
        )
        if answer.status != 200:
            raise ValueError(f"it answers {answer.status}")
        return answer.body
