"""Twins from the device's side: it reads its own, reports properties, and hears of changes of its desired ones.

Changes made in another process are heard over the bus, and read from the store; what was removed is seen by the next GET then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from accredit.domain.credential import RenewalWindow
from accredit.domain.device import HubDevice, Reported, SaveReported
from accredit.domain.errors import NotFound, PreconditionFailed, UpstreamUnavailable
from accredit.domain.ids import DeviceId
from accredit.domain.subjects import Subject
from accredit.interfaces import Clock, Stale, Store, StoreUnavailable
from accredit.observe import log
from accredit.policy.renewal_window import renewal_window
from accredit.policy.twins import check_reported, merged
from accredit.processes import Bus

Hears = Callable[[dict[str, Any], int], None]
"""Told what changed in the desired properties (null: removed), and their new version."""

_ROUNDS = 8


class DesiredChanges:
    """Who listens to changes of which twin; every method belongs to the event loop's thread."""

    def __init__(self, store: Store, bus: Bus | None = None) -> None:
        self._store = store
        self._bus = bus
        self._listening: dict[tuple[str, DeviceId], list[Hears]] = {}
        self._reading: set[asyncio.Task[None]] = set()
        if bus is not None:
            bus.hear(Subject.TWINS, self._changed_elsewhere)

    def listen(self, hub: str, device_id: DeviceId, hears: Hears) -> Callable[[], None]:
        """Call `hears` with each change, until what is returned is called."""
        place = (hub, device_id)
        self._listening.setdefault(place, []).append(hears)

        def stop() -> None:
            left = [each for each in self._listening.get(place, ()) if each is not hears]
            if left:
                self._listening[place] = left
            else:
                self._listening.pop(place, None)

        return stop

    def tell(self, hub: str, device_id: DeviceId, change: dict[str, Any], version: int) -> None:
        """A change was committed."""
        if self._bus is not None:
            self._bus.tell(Subject.TWINS, f"{hub}/{device_id.text}")
        self._tell_here(hub, device_id, change, version)

    def _tell_here(self, hub: str, device_id: DeviceId, change: dict[str, Any], version: int) -> None:
        for hears in self._listening.get((hub, device_id), ()):
            hears(change, version)

    def _changed_elsewhere(self, word: str) -> None:
        hub, _, device_id = word.partition("/")
        if (hub, DeviceId(device_id)) in self._listening:
            task = asyncio.get_running_loop().create_task(self._read(hub, DeviceId(device_id)))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def _read(self, hub: str, device_id: DeviceId) -> None:
        try:
            device = await self._store.hub_device(hub, device_id)
        except StoreUnavailable:
            log.warning("store-unavailable", work="desired-changes")
            return
        if device is not None:
            self._tell_here(hub, device_id, device.data.desired, device.twin.desired)


class DeviceTwins:
    """`tells_renewal`: whether a device reads in its twin when its certificate is best renewed."""

    def __init__(
        self, store: Store, clock: Clock, changes: DesiredChanges, *, tells_renewal: bool = True
    ) -> None:
        self._store = store
        self._clock = clock
        self._tells_renewal = tells_renewal
        self.changes = changes

    async def read(self, hub: str, device_id: DeviceId) -> tuple[HubDevice, RenewalWindow | None]:
        """The device's twin, and when its newest good certificate is best renewed. Raises NotFound and StoreUnavailable."""
        device = await self._present(hub, device_id)
        return device, await self._renewal(device) if self._tells_renewal else None

    async def report(self, hub: str, device_id: DeviceId, change: dict[str, Any], base: int | None) -> int:
        """Lay a change over what the device reported; the new version.

        Raises Malformed, NotFound, StoreUnavailable, and PreconditionFailed where `base` is not the present version.
        """
        for _ in range(_ROUNDS):
            present = (await self._present(hub, device_id)).reported
            if base is not None and base != present.version:
                raise PreconditionFailed(
                    f"The reported properties have version {present.version}, not {base}.", rule="etag"
                )
            properties = merged(present.properties, change)
            check_reported(properties)
            now = int(self._clock.now())
            reported = Reported(properties, present.version + 1, now)
            try:
                await self._store.commit([SaveReported(hub, device_id, reported)])
            except Stale:
                continue
            return reported.version
        raise UpstreamUnavailable(
            "The twin is being changed by other requests.", rule="busy", retry_after_s=1
        )

    async def _renewal(self, device: HubDevice) -> RenewalWindow | None:
        owner = device.registration_id
        if owner is None:
            return None
        now = int(self._clock.now())
        for binding in await self._store.bindings(owner, device.device_id):
            if binding.good(now):
                record = await self._store.certificate(binding.sha256)
                return None if record is None else renewal_window(record.issued)
        return None

    async def _present(self, hub: str, device_id: DeviceId) -> HubDevice:
        device = await self._store.hub_device(hub, device_id)
        if device is None:
            raise NotFound(f"Device {device_id} not registered.", rule="hub-identity-unknown")
        return device
