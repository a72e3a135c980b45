"""Every address of the APIs for operators x every policy: made from the route tables, so that none is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from accredit.administration.bearers import Bearers
from accredit.administration.issuer_keys import IssuerKeys
from accredit.domain.access import Realm
from accredit.egress import Egress, EgressRules, tls_context
from accredit.policy.access import NEEDED
from accredit.policy.bearer import ROLE_RIGHTS, Role, Trusted
from support.api_examples import EXAMPLES, EveryRoute, every_route
from support.hand_clock import HandClock
from support.oidc_issuer import AUDIENCE, OIDCIssuer, SigningKey
from support.service_side import policies

ADDRESSES = pytest.mark.parametrize(("method", "path"), sorted(EXAMPLES), ids=str)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EveryRoute]:
    async with every_route(tmp_path) as everything:
        yield everything


async def test_every_row_of_the_tables_has_its_example_and_no_example_lacks_its_row(
    world: EveryRoute,
) -> None:
    rows = {(each.method, each.path) for table in world.tables.values() for each in table}
    assert rows == EXAMPLES.keys()


@ADDRESSES
async def test_a_call_is_open_to_the_policies_that_carry_its_right_and_closed_to_all_others(
    world: EveryRoute, method: str, path: str
) -> None:
    example = EXAMPLES[method, path]
    realm, row = next(
        (realm, each)
        for realm, table in world.tables.items()
        for each in table
        if (each.method, each.path) == (method, path)
    )
    may = {
        (policy.realm, policy.name)
        for policy in policies()
        if policy.realm is realm and NEEDED[row.call] in policy.rights
    }
    assert may
    assert len(may) < len(policies())
    for policy in policies():
        if (policy.realm, policy.name) not in may:
            answer = await world.call(example, method, world.side.token(policy.name, policy.realm))
            assert (answer.status_code, answer.json()["errorCode"]) == (401, 401002), policy
    for authorization in (None, "Bearer eyJhbGciOiJub25lIn0.e30.", "Basic YTpi"):
        assert (await world.call(example, method, authorization)).status_code == 401
    first = True
    for owner_realm, name in sorted(may):
        answer = await world.call(example, method, world.side.token(name, owner_realm))
        if first:
            assert answer.status_code == example.status, answer.text
        assert answer.status_code != 401
        first = False


@pytest.fixture(scope="module")
def issuer() -> Iterator[OIDCIssuer]:
    with OIDCIssuer(now=HandClock().now) as running:
        yield running


@ADDRESSES
async def test_a_call_is_open_to_the_roles_that_carry_its_right(
    issuer: OIDCIssuer, tmp_path: Path, method: str, path: str
) -> None:
    egress = Egress(EgressRules(("localhost",)), tls=tls_context(issuer.trust))
    trusted = Trusted(issuer.url, {AUDIENCE}, "roles", {role.value: role for role in Role})
    bearers = Bearers(IssuerKeys(issuer.url, "", egress, HandClock()), trusted)
    async with every_route(tmp_path, bearers) as world:
        example = EXAMPLES[method, path]
        row = next(
            each
            for table in world.tables.values()
            for each in table
            if (each.method, each.path) == (method, path)
        )
        may = [role for role in Role if NEEDED[row.call] in ROLE_RIGHTS[role]]
        assert Role.OWNER in may
        for shown in (
            *(issuer.token(role) for role in Role if role not in may),
            issuer.token("stranger"),
            issuer.token("owner", exp=1_700_000_000),
            issuer.token("owner", aud="https://elsewhere"),
            issuer.token("owner", iss="https://elsewhere"),
            issuer.token("owner", key=SigningKey.make("first")),
            issuer.token("owner", key=SigningKey.make("unknown")),
        ):
            answer = await world.call(example, method, f"Bearer {shown}")
            assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")
        answer = await world.call(example, method, f"bearer {issuer.token(may[0])}")
        assert answer.status_code == example.status, answer.text
        for role in may[1:]:
            answer = await world.call(example, method, f"Bearer {issuer.token(role)}")
            assert answer.status_code != 401
    await egress.close()


@ADDRESSES
async def test_another_method_is_refused_with_the_ones_that_are_allowed(
    world: EveryRoute, method: str, path: str
) -> None:
    example = EXAMPLES[method, path]
    answer = await world.call(example, "PATCH", world.side.token())
    assert answer.status_code == 405
    assert answer.json()["errorCode"] == 405001
    assert answer.headers["content-type"].startswith("application/json")
    allowed = {name.strip() for name in answer.headers["allow"].split(",")}
    here = {each.method for table in world.tables.values() for each in table if each.path == path}
    assert here <= allowed


@ADDRESSES
async def test_case_slash_and_content_encoding_do_not_matter(
    world: EveryRoute, method: str, path: str
) -> None:
    example = EXAMPLES[method, path]
    literal = path.split("/")[1]
    realm = Realm.HUB if literal == "messages" else Realm.PROVISIONING
    token = world.side.token("service" if realm is Realm.HUB else "provisioningserviceowner", realm)
    answer = await world.client.request(
        method,
        f"{example.path.replace(literal, literal.upper())}/?api-version=2021-10-01{example.query}",
        json=example.body,
        headers={
            "Authorization": token,
            "Content-Encoding": "utf-8",
            **(example.headers or {}),
        },
    )
    assert answer.status_code == example.status, answer.text


@ADDRESSES
async def test_without_an_api_version_nothing_is_answered(world: EveryRoute, method: str, path: str) -> None:
    realm = Realm.HUB if path.startswith("/messages") else Realm.PROVISIONING
    token = world.side.token("service" if realm is Realm.HUB else "provisioningserviceowner", realm)
    for query in ("", "?api-version=", "?api-version=2016-01-01"):
        answer = await world.client.request(
            method, EXAMPLES[method, path].path + query, headers={"Authorization": token}
        )
        assert answer.status_code == 400
        assert "api-version" in answer.json()["message"]
