"""The gate of the service side: from an Authorization header to the name of the policy that opened it.

The judgement is `policy/access.py`; this file looks up the policy. Bearer tokens go to `bearers.py`, which is loaded where an issuer of them
is configured.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from accredit.domain.access import Realm
from accredit.interfaces import Clock, Store
from accredit.observe import log
from accredit.policy.access import MAX_LIFETIME_S, NEEDED, Call, authorize, refusal
from accredit.values import dataclass
from accredit.wire import bearer, sas

if TYPE_CHECKING:
    from accredit.administration.bearers import Bearers


@dataclass(frozen=True, slots=True)
class Access:
    """One realm's gate. `bearers` is None where no issuer is configured. `host_names` are what a token's scope may name; ports in them do not matter."""

    store: Store
    clock: Clock
    host_names: Collection[str]
    realm: Realm = Realm.PROVISIONING
    max_lifetime_s: int = MAX_LIFETIME_S
    refuse_longer: bool = False
    bearers: Bearers | None = None

    async def admit(self, authorization: str | None, call: Call, path: str) -> str:
        """Return the policy's name, or whose bearer token it is; raise Unauthenticated when this header does not open
        this call at `path`."""
        if not authorization:
            raise refusal("nothing-shown", "no Authorization header")
        if bearer.is_bearer(authorization):
            if self.bearers is None:
                raise refusal("bearer-not-configured", "no oidc_issuer is configured")
            return await self.bearers.admit(authorization, NEEDED[call], self.clock.now())
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
