"""Shared access policies of both realms: put, read, delete, rotate, list.

Somebody must always be able to change them again: the last policy that carries ServiceConfig keeps it.
"""

from __future__ import annotations

from accredit.administration import names
from accredit.administration.preconditions import check_present, check_put, repeated
from accredit.domain.access import Policy, Realm, Right
from accredit.domain.changes import DeletePolicy, SavePolicy
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.secret import Secret
from accredit.interfaces import Clock, Entropy, Page, Store
from accredit.observe import log
from accredit.values import dataclass, replace
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.policies import PolicySent
from accredit.wire.service_api.queries import Paging

KEY_BYTES = 32
MAX_POLICIES = 100
"""Of one realm: they are few by nature, and each is a credential to look after."""

_NOUN = "policy"
_UNKNOWN = "policy-unknown"


@dataclass(frozen=True, slots=True)
class Policies:
    store: Store
    clock: Clock
    entropy: Entropy

    async def put(self, realm: Realm, sent: PolicySent, condition: IfMatch, by: str) -> Policy:
        """Create or replace, as `condition` allows; keys that were not sent are made, or kept."""
        return await repeated(lambda: self._put(realm, sent, condition, by))

    async def read(self, realm: Realm, name: str) -> Policy:
        """Raises NotFound."""
        policy = await self.store.policy(realm, name)
        if policy is None:
            raise NotFound("There is no such policy.", rule=_UNKNOWN)
        return policy

    async def delete(self, realm: Realm, name: str, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows, unless nobody could make another one then."""
        await repeated(lambda: self._delete(realm, name, condition))
        log.info("policy-deleted", by=by, realm=realm.value, policy=name)

    async def rotate(self, realm: Realm, name: str, key: str, condition: IfMatch, by: str) -> Policy:
        """Make one of the two keys anew; tokens signed with the old one open nothing from now on."""
        policy = await repeated(lambda: self._rotate(realm, name, key, condition))
        log.info("policy-rotated", by=by, realm=realm.value, policy=name, key=key)
        return policy

    async def page(self, realm: Realm, paging: Paging) -> Page[Policy]:
        return await self.store.policies_page(realm, paging.cursor, paging.limit)

    async def _put(self, realm: Realm, sent: PolicySent, condition: IfMatch, by: str) -> Policy:
        present = await self.store.policy(realm, sent.name)
        check_put(condition, present.etag if present else None, _NOUN)
        others = [each for each in await self.store.policies(realm) if each.name != sent.name]
        if present is None and len(others) >= MAX_POLICIES:
            raise Conflict(
                f"There are {MAX_POLICIES} policies already, the most there can be.",
                rule="policy-capacity",
                hint="remove one that nobody uses",
            )
        if present is not None and Right.SERVICE_CONFIG not in sent.rights:
            _check_another(present, others)
        now = int(self.clock.now())
        policy = Policy(
            realm=realm,
            name=sent.name,
            rights=sent.rights,
            primary=sent.primary or (present.primary if present else self._key()),
            secondary=sent.secondary or (present.secondary if present else self._key()),
            etag=names.etag(self.entropy),
            created_at=present.created_at if present else now,
            updated_at=now,
        )
        await self.store.commit([SavePolicy(policy, replaces=present.etag if present else None)])
        outcome = "replaced" if present else "created"
        rights = sorted(sent.rights)
        log.info("policy-saved", by=by, realm=realm.value, policy=sent.name, rights=rights, outcome=outcome)
        return policy

    async def _rotate(self, realm: Realm, name: str, key: str, condition: IfMatch) -> Policy:
        present = await self.store.policy(realm, name)
        check_present(condition, present.etag if present else None, _NOUN, _UNKNOWN)
        assert present is not None
        fresh = self._key()
        rotated = replace(
            present,
            primary=fresh if key == "primary" else present.primary,
            secondary=fresh if key == "secondary" else present.secondary,
            etag=names.etag(self.entropy),
            updated_at=int(self.clock.now()),
        )
        await self.store.commit([SavePolicy(rotated, replaces=present.etag)])
        return rotated

    async def _delete(self, realm: Realm, name: str, condition: IfMatch) -> None:
        present = await self.store.policy(realm, name)
        check_present(condition, present.etag if present else None, _NOUN, _UNKNOWN)
        assert present is not None
        _check_another(present, [each for each in await self.store.policies(realm) if each.name != name])
        await self.store.commit([DeletePolicy(realm, name, present.etag)])

    def _key(self) -> Secret:
        return Secret(self.entropy.token(KEY_BYTES))


def _check_another(present: Policy, others: list[Policy]) -> None:
    """Raise Conflict where this is the last policy that can change policies. The commit looks once more."""
    if present.realm is not Realm.PROVISIONING or Right.SERVICE_CONFIG not in present.rights:
        return
    if not any(Right.SERVICE_CONFIG in other.rights for other in others):
        raise Conflict(
            f"{present.name} is the last policy with ServiceConfig: without it nobody could change policies any more.",
            rule="policy-last",
            hint="make another one with ServiceConfig first",
        )
