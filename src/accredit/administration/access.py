"""The gate of the service side: from an Authorization header to the name of the policy that opened it.

The judgement is `policy/access.py`; this file looks the policy up. Bearer tokens are not accepted by this version.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from accredit.domain.access import Realm
from accredit.interfaces import Clock, Store
from accredit.observe import log
from accredit.policy.access import MAX_LIFETIME_S, NEEDED, Call, authorize, refusal
from accredit.wire import sas


@dataclass(frozen=True, slots=True)
class Access:
    """One realm's gate. `host_names` are what a token's scope may name; ports in them do not matter."""

    store: Store
    clock: Clock
    host_names: Collection[str]
    realm: Realm = Realm.PROVISIONING
    max_lifetime_s: int = MAX_LIFETIME_S
    refuse_longer: bool = False

    async def admit(self, authorization: str | None, call: Call, path: str) -> str:
        """Return the policy's name; raise Unauthenticated when this header does not open this call at `path`."""
        if not authorization:
            raise refusal("nothing-shown", "no Authorization header")
        token = sas.parse(authorization)
        policy = await self.store.policy(self.realm, token.policy) if token.policy else None
        now = self.clock.now()
        authorize(
            token,
            policy,
            self.host_names,
            NEEDED[call],
            now,
            realm=self.realm,
            path=path,
            max_lifetime_s=self.max_lifetime_s if self.refuse_longer else None,
        )
        assert token.policy is not None
        if token.expires_at - now > self.max_lifetime_s:
            log.warning("sas-lives-long", by=token.policy, expiresAt=token.expires_at)
        return token.policy
