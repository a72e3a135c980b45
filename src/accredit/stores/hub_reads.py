"""Hubs in the store, as they are read: which are linked, the embedded ones' identities, and what is to be removed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.device import HubDevice
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.release import Release
from accredit.interfaces import HubUsers
from accredit.stores import hub_rows
from accredit.stores import hub_statements as sql
from accredit.stores.hub_units import naming_patterns
from accredit.stores.reading import Reading


class HubReads(Reading):
    """The part of `interfaces.Store` that is about hubs."""

    async def linked_hubs(self) -> Sequence[LinkedHub]:
        # In a tuple of its own, so that having none is remembered too.
        known: tuple[Sequence[LinkedHub]] | None = self._cache.get(sql.LINKED_HUBS)
        if known is None:
            known = await self._cache.filled(sql.LINKED_HUBS, self._stored_linked_hubs())
        return known[0]

    async def _stored_linked_hubs(self) -> tuple[Sequence[LinkedHub]]:
        found = await self._rows(sql.LINKED_HUBS, ())
        return (tuple(hub_rows.linked_hub(row, self._sealer) for row in found),)

    async def hub_users(self, hub: LinkedHub) -> HubUsers:
        return HubUsers(
            await self._count(sql.HUB_REGISTRATIONS, (hub.name.lower(),)),
            await self._count(sql.HUB_ENROLLMENTS, naming_patterns(hub)),
            await self._count(sql.HUB_DEVICE_COUNTS, (hub.key,)),
        )

    async def hub_device(self, hub: str, device_id: DeviceId) -> HubDevice | None:
        row = await self._row(sql.HUB_DEVICE, (hub, device_id.text))
        return None if row is None else hub_rows.hub_device(row, self._sealer)

    async def hub_devices(self, hub: str, limit: int) -> Sequence[HubDevice]:
        found = await self._rows(sql.HUB_DEVICES, (hub, limit))
        return [hub_rows.hub_device(row, self._sealer) for row in found]

    async def hub_device_counts(self, hub: str) -> tuple[int, int]:
        row = await self._row(sql.HUB_DEVICE_COUNTS, (hub,))
        assert row is not None
        return row[0], row[1]

    async def releases(self, limit: int) -> Sequence[Release]:
        return [hub_rows.release(row) for row in await self._rows(sql.RELEASES, (limit,))]

    async def release_due(self, hub: str, device_id: DeviceId) -> bool:
        return await self._row(sql.RELEASE_DUE, (hub, device_id.text)) is not None
