"""What is linked, by name and by host name, and that it follows what the operator changes."""

from __future__ import annotations

import pytest

from accredit.domain.changes import DeleteLinkedHub, SaveLinkedHub
from accredit.domain.linked_hub import FIRST_HUB, HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.values import replace
from support.hub_world import HubWorld
from support.linked import embedded

HOSTS = ("Here.example", "alias.example")


class Remote:
    """Only its being another one counts here."""

    kind = HubKind.AZURE

    def __init__(self, hub: LinkedHub) -> None:
        self.name = hub.name
        self.hub = hub


def azure(name: str, etag: str = "a") -> LinkedHub:
    return LinkedHub(name, HubKind.AZURE, etag, 1, 1, connection_string=Secret(b"HostName=x"))


def configured(world: HubWorld, *host_names: str) -> ConfiguredHubs:
    return ConfiguredHubs(world.store, host_names or HOSTS, Remote)  # type: ignore[arg-type]


async def names(hubs: ConfiguredHubs) -> list[str]:
    return [hub.name for hub in await hubs.linked()]


async def test_the_hub_of_the_first_host_name_is_always_there(world: HubWorld) -> None:
    hubs = configured(world)
    (first,) = await hubs.linked()
    assert (first.name, first.kind, first.first, first.key) == (
        "Here.example",
        HubKind.EMBEDDED,
        True,
        FIRST_HUB,
    )
    assert (await hubs.get("HERE.example")).name == "Here.example"  # type: ignore[union-attr]
    assert await hubs.get("alias.example") is None, "only its name is assigned"


async def test_it_follows_what_is_linked_and_unlinked(world: HubWorld) -> None:
    hubs = configured(world)
    assert await names(hubs) == ["Here.example"]
    second = embedded("Second.example")
    await world.store.commit([SaveLinkedHub(second, None), SaveLinkedHub(azure("a.azure.example"), None)])
    assert await names(hubs) == ["Here.example", "a.azure.example", "Second.example"]
    assert (await hubs.get("second.EXAMPLE")).kind is HubKind.EMBEDDED  # type: ignore[union-attr]
    await world.store.commit([DeleteLinkedHub(second)])
    assert await names(hubs) == ["Here.example", "a.azure.example"]
    assert await hubs.get("second.example") is None


async def test_what_speaks_to_a_hub_elsewhere_is_made_anew_only_when_it_was_changed(world: HubWorld) -> None:
    hubs = configured(world)
    await world.store.commit([SaveLinkedHub(azure("a.example"), None)])
    before = await hubs.get("a.example")
    await world.store.commit([SaveLinkedHub(embedded("b.example"), None)])
    assert await hubs.get("a.example") is before
    await world.store.commit([SaveLinkedHub(azure("a.example", "b"), "a")])
    assert await hubs.get("a.example") is not before


async def test_settings_of_the_first_hub_are_kept_under_its_present_name(world: HubWorld) -> None:
    await world.store.commit([SaveLinkedHub(embedded("old.example", first=True, weight=7), None)])
    (first,) = await configured(world).linked()
    assert (first.name, first.weight, first.key) == ("Here.example", 7, FIRST_HUB)


async def test_a_linked_hub_whose_name_is_the_first_now_is_the_first(world: HubWorld) -> None:
    await world.store.commit([SaveLinkedHub(embedded("second.example"), None)])
    hubs = configured(world, "Second.example", "here.example")
    assert await names(hubs) == ["second.example"]
    assert (await hubs.at("here.example")).key == "second.example"  # type: ignore[union-attr]


async def test_without_the_means_hubs_elsewhere_do_not_count(world: HubWorld) -> None:
    await world.store.commit([SaveLinkedHub(azure("a.example"), None)])
    assert await names(ConfiguredHubs(world.store, HOSTS)) == ["Here.example"]


async def test_a_hub_elsewhere_can_t_take_the_first_one_s_place(world: HubWorld) -> None:
    await world.store.commit([SaveLinkedHub(azure("here.example"), None)])
    hubs = configured(world)
    assert [hub.kind for hub in await hubs.linked()] == [HubKind.EMBEDDED]
    assert (await hubs.get("here.example")).kind is HubKind.EMBEDDED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("here.example", FIRST_HUB),
        ("ALIAS.example", FIRST_HUB),
        ("second.example", "second.example"),
        ("a.azure.example", None),
        ("stranger.example", None),
        ("", None),
    ],
)
async def test_which_hub_a_host_name_means(world: HubWorld, host: str, key: str | None) -> None:
    unit = [SaveLinkedHub(embedded("Second.example"), None), SaveLinkedHub(azure("a.azure.example"), None)]
    await world.store.commit(unit)
    address = await configured(world, *HOSTS, "second.example").at(host)
    assert (None if address is None else address.key) == key


async def test_the_host_names_of_hubs_do_not_overlap(world: HubWorld) -> None:
    await world.store.commit([SaveLinkedHub(embedded("Second.example"), None)])
    hubs = configured(world, *HOSTS, "second.example")
    assert (await hubs.at("here.example")).host_names == {"here.example", "alias.example"}  # type: ignore[union-attr]
    assert (await hubs.at("second.example")).host_names == {"second.example"}  # type: ignore[union-attr]


async def test_nothing_is_read_while_nothing_changes(world: HubWorld) -> None:
    hubs = configured(world)
    before = await hubs.linked()
    assert await hubs.linked() is before
    await world.store.commit([SaveLinkedHub(embedded("b.example"), None)])
    after = await hubs.linked()
    assert [replace(hub) for hub in after] != [replace(hub) for hub in before]
