"""The linked hubs as the store has them now: `interfaces.Hubs` for provisioning, `interfaces.HubAddresses` for fronts.

The hub of the service's first host name is always there. Host names of the service that no other embedded hub is named
by lead to it too. What is made here is kept until something about the linked hubs is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubAddress, HubKind, LinkedHub
from accredit.interfaces import Hub, RemoteHub, Store
from accredit.linked_hubs.embedded import EmbeddedHub
from accredit.values import dataclass, replace

MakeRemote = Callable[[LinkedHub], RemoteHub]
Cut = Callable[[str, DeviceId], None]
"""Ends the connection that a device has at the embedded hub of this key."""


@dataclass(frozen=True, slots=True)
class _View:
    """All that is known of the linked hubs at one moment; `stored` is what it was made from. Names are lower case."""

    stored: Sequence[LinkedHub]
    linked: Sequence[LinkedHub]
    hubs: Mapping[str, Hub | RemoteHub]
    addresses: Mapping[str, HubAddress]


class ConfiguredHubs:
    """`host_names` are the service's own, the first of which names the first hub. Without `remote`, which makes what
    speaks to a hub elsewhere, only embedded hubs count as linked."""

    def __init__(
        self,
        store: Store,
        host_names: Sequence[str],
        remote: MakeRemote | None = None,
        cut: Cut | None = None,
    ) -> None:
        self._store = store
        self._cut = cut
        self._host_names = host_names
        self._remote = remote
        self._view: _View | None = None

    async def linked(self) -> Sequence[LinkedHub]:
        return (await self._current()).linked

    async def get(self, name: str) -> Hub | RemoteHub | None:
        return (await self._current()).hubs.get(name.lower())

    async def at(self, host: str | None) -> HubAddress | None:
        name = self._host_names[0] if host is None else host
        return (await self._current()).addresses.get(name.lower())

    async def _current(self) -> _View:
        # The store gives the same value until its own commits have changed it.
        stored = await self._store.linked_hubs()
        view = self._view
        if view is None or view.stored is not stored:
            view = self._view = self._made(stored, view)
        return view

    def _made(self, stored: Sequence[LinkedHub], before: _View | None) -> _View:
        usable = [hub for hub in stored if hub.kind is HubKind.EMBEDDED or self._remote is not None]
        linked = _linked(usable, self._host_names[0])
        known = {} if before is None else {hub.key: hub for hub in before.linked}
        hubs: dict[str, Hub | RemoteHub] = {}
        for hub in linked:
            name = hub.name.lower()
            if hub.kind is HubKind.EMBEDDED:
                hubs[name] = EmbeddedHub(hub.name, self._store, hub.key, self._cut)
            elif before is not None and known.get(hub.key) == hub:
                # It has tokens and connections that are worth keeping.
                hubs[name] = before.hubs[name]
            elif self._remote is not None:
                hubs[name] = self._remote(hub)
        return _View(stored, linked, hubs, _addresses(linked, self._host_names))


def _linked(stored: Sequence[LinkedHub], first_name: str) -> Sequence[LinkedHub]:
    """The first embedded hub, under the name that it has now, then the others by name.

    When an embedded hub that was linked by its name is the first host name now, it is the first hub.
    """
    others = [hub for hub in stored if not hub.first and hub.key != first_name.lower()]
    named = next((hub for hub in stored if hub.key == first_name.lower()), None)
    if named is not None and named.kind is HubKind.EMBEDDED:
        return (named, *others)
    known = next((hub for hub in stored if hub.first), None)
    first = known or LinkedHub(first_name, HubKind.EMBEDDED, "0", 0, 0, first=True)
    return (replace(first, name=first_name), *others)


def _addresses(linked: Sequence[LinkedHub], host_names: Collection[str]) -> Mapping[str, HubAddress]:
    embedded = [hub for hub in linked if hub.kind is HubKind.EMBEDDED]
    names = {hub.name.lower() for hub in linked}
    aliases = frozenset(host.lower() for host in host_names if host.lower() not in names)
    found: dict[str, HubAddress] = {}
    for place, hub in enumerate(embedded):
        own = frozenset((hub.name.lower(),))
        address = HubAddress(hub.key, hub.name, own if place else own | aliases)
        found |= dict.fromkeys(address.host_names, address)
    return found
