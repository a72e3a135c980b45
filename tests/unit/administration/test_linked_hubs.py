"""Linked hubs: what is asked before one is stored, what stands in the way of unlinking it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from accredit.administration.linked_hubs import HubSurroundings, LinkedHubs
from accredit.domain.changes import DeleteLinkedHub, SaveEnrollment, SaveHubDevice, SaveRegistration
from accredit.domain.errors import (
    AccreditError,
    Conflict,
    Malformed,
    NotFound,
    PreconditionFailed,
    UpstreamRejected,
    UpstreamUnavailable,
)
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.interfaces import RemoteHub
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.wire.service_api.etags import ANYTHING, NO_CONDITION, IfMatch
from accredit.wire.service_api.linked_hubs import LinkedHubSent
from support import stored_values as some
from support.counted_entropy import CountedEntropy
from support.service_side import ServiceSide

FIRST, EMBEDDED, AZURE = "first.example", "second.example", "hub.azure.example"
STRING = Secret(b"HostName=hub.azure.example;SharedAccessKeyName=a;SharedAccessKey=Yg==")


@dataclass
class World:
    side: ServiceSide
    linked_hubs: LinkedHubs
    failure: AccreditError | None = None
    objection: str | None = None
    asked: list[Any] = field(default_factory=list)
    told: int = 0

    async def put(self, name: str = EMBEDDED, condition: IfMatch = NO_CONDITION, **members: Any) -> LinkedHub:
        facts = {
            "connection_string": None,
            "location": None,
            "weight": 1,
            "apply_allocation_policy": True,
            "trust_anchors": None,
        } | members
        return await self.linked_hubs.put(LinkedHubSent(name, **facts), condition, "tester")

    async def names(self) -> list[str]:
        return [hub.name for hub in await self.linked_hubs.listing()]


@pytest.fixture
async def world(side: ServiceSide) -> World:
    async def probe(hub: LinkedHub) -> None:
        made.asked.append(hub)
        if made.failure is not None:
            raise made.failure

    async def objection(name: str) -> str | None:
        return made.objection

    async def changed() -> None:
        made.told += 1

    for hub in await side.store.linked_hubs():
        await side.store.commit([DeleteLinkedHub(hub)])

    def remote(hub: LinkedHub) -> RemoteHub:
        return hub  # type: ignore[return-value]

    hubs = ConfiguredHubs(side.store, [FIRST], remote)
    surroundings = HubSurroundings(probe, objection, changed)
    made = World(side, LinkedHubs(side.store, hubs, side.clock, CountedEntropy(), surroundings))
    return made


class TestPut:
    async def test_an_embedded_hub(self, world: World) -> None:
        hub = await world.put(location="home", weight=3)
        assert (hub.kind, hub.location, hub.weight) == (HubKind.EMBEDDED, "home", 3)
        assert await world.names() == [FIRST, EMBEDDED]
        assert (world.told, world.asked) == (1, [])
        assert await world.linked_hubs.read(EMBEDDED.upper()) == hub

    async def test_a_name_that_leads_elsewhere(self, world: World) -> None:
        world.objection = "it does not resolve to an address"
        with pytest.raises(Malformed, match="does not resolve") as refused:
            await world.put()
        assert refused.value.rule == "hub-name"
        assert await world.names() == [FIRST]
        assert world.told == 0

    async def test_a_hub_elsewhere_is_asked_first(self, world: World) -> None:
        hub = await world.put(AZURE, connection_string=STRING)
        assert hub.kind is HubKind.AZURE
        assert [asked.connection_string for asked in world.asked] == [STRING]
        assert (await world.linked_hubs.read(AZURE)).connection_string == STRING
        assert world.told == 0, "the certificate does not name it"

    @pytest.mark.parametrize(
        "failure",
        [
            UpstreamRejected(
                "does not accept this service", rule="hub-refused", hint="give it RegistryWrite"
            ),
            UpstreamUnavailable("can't be reached", rule="hub-unavailable", retry_after_s=9),
        ],
    )
    async def test_one_that_can_t_be_used_is_not_stored(self, world: World, failure: AccreditError) -> None:
        world.failure = failure
        with pytest.raises(Malformed, match=failure.message) as refused:
            await world.put(AZURE, connection_string=STRING)
        assert refused.value.rule == "hub-probe"
        assert refused.value.hint
        assert await world.names() == [FIRST]

    async def test_a_replace_keeps_the_connection_string(self, world: World) -> None:
        made = await world.put(AZURE, connection_string=STRING)
        replaced = await world.put(AZURE, IfMatch(made.etag), weight=5)
        assert (replaced.connection_string, replaced.weight, replaced.kind) == (STRING, 5, HubKind.AZURE)
        assert replaced.etag != made.etag
        assert replaced.created_at == made.created_at

    async def test_conditions(self, world: World) -> None:
        await world.put()
        with pytest.raises(Conflict):
            await world.put()
        with pytest.raises(PreconditionFailed):
            await world.put(condition=IfMatch("other"))
        await world.put(condition=IfMatch(ANYTHING))

    async def test_a_hub_keeps_its_kind(self, world: World) -> None:
        await world.put(AZURE)
        with pytest.raises(Conflict) as refused:
            await world.put(AZURE, IfMatch(ANYTHING), connection_string=STRING)
        assert refused.value.rule == "hub-kind"

    async def test_trust_anchors_are_for_hubs_elsewhere(self, world: World) -> None:
        with pytest.raises(Malformed):
            await world.put(trust_anchors="x")

    async def test_settings_of_the_first_hub(self, world: World) -> None:
        world.objection = "whatever"
        with pytest.raises(Conflict):
            await world.put(FIRST)
        for weight in (4, 5):
            hub = await world.put(FIRST, IfMatch(ANYTHING), weight=weight, apply_allocation_policy=False)
            assert (hub.first, hub.weight) == (True, weight)
            assert await world.linked_hubs.read(FIRST) == hub
        assert await world.names() == [FIRST]


class TestDelete:
    async def test_it_is_gone(self, world: World) -> None:
        made = await world.put()
        with pytest.raises(PreconditionFailed):
            await world.linked_hubs.delete(EMBEDDED, IfMatch("other"), "tester")
        await world.linked_hubs.delete(EMBEDDED.upper(), IfMatch(made.etag), "tester")
        assert await world.names() == [FIRST]
        with pytest.raises(NotFound) as unknown:
            await world.linked_hubs.delete(EMBEDDED, NO_CONDITION, "tester")
        assert unknown.value.rule == "hub-not-linked"
        with pytest.raises(NotFound):
            await world.linked_hubs.read(EMBEDDED)

    async def test_one_in_use_stays(self, world: World) -> None:
        hub = await world.put()
        await world.side.store.commit(
            [
                SaveRegistration(some.registration("r1", hub=EMBEDDED), None),
                SaveRegistration(some.registration("r2", hub=EMBEDDED), None),
                SaveEnrollment(some.group("g1", hubs=(EMBEDDED,)), None),
                SaveHubDevice(some.hub_device("d1", hub=hub.key)),
            ]
        )
        with pytest.raises(Conflict, match="2 registrations.* 1 enrollments.* 1 identities") as refused:
            await world.linked_hubs.delete(EMBEDDED, NO_CONDITION, "tester")
        assert refused.value.rule == "hub-in-use"

    async def test_the_first_is_always_there(self, world: World) -> None:
        with pytest.raises(Conflict) as refused:
            await world.linked_hubs.delete(FIRST, NO_CONDITION, "tester")
        assert refused.value.rule == "hub-in-use"
