"""`/policies` and `/hubPolicies`: the same five calls, for two realms (extensions)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.policies import Policies
from accredit.domain.access import Realm
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import body_of
from accredit.values import dataclass
from accredit.wire.service_api.policies import policy_document, policy_name, read_policy, read_rotation


@dataclass(frozen=True, slots=True)
class PolicyCalls:
    policies: Policies
    realm: Realm

    async def put(self, request: Request, by: str) -> Response:
        sent = read_policy(await body_of(request), _name(request), self.realm)
        saved = await self.policies.put(self.realm, sent, condition_of(request), by)
        return document(policy_document(saved, keys_shown=True), saved.etag)

    async def read(self, request: Request, _by: str) -> Response:
        policy = await self.policies.read(self.realm, _name(request))
        return document(policy_document(policy), policy.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.policies.delete(self.realm, _name(request), condition_of(request), by)
        return gone()

    async def rotate(self, request: Request, by: str) -> Response:
        key = read_rotation(await body_of(request))
        rotated = await self.policies.rotate(self.realm, _name(request), key, condition_of(request), by)
        return document(policy_document(rotated, keys_shown=True), rotated.etag)

    async def listing(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.policies.page(self.realm, wanted)
        return page([policy_document(row) for row in found.rows], found.cursor, wanted, "unknown")


def _name(request: Request) -> str:
    return policy_name(request.path_params["name"])
