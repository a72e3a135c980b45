"""Releases: the outbox's worker. What a device was moved away from no longer has it, some time after the move.

A move commits an entry (`changes.ReleaseLater`) together with the new assignment, and nothing is called inside that
commit; this file calls the old hub afterwards, again and again until it has answered, also after a restart. Every hub
is dealt with by itself, so that one that is down holds up no other. An entry ends when the device is gone from the hub,
when it was assigned there again, or when the hub is unlinked.

Who assigns a device to a hub elsewhere holds that device's `turn` from the call to the commit, and settles the entry
by that commit (`changes.SettleRelease`): then no release that was due before can undo the assignment.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from itertools import groupby

from accredit.domain.changes import SettleRelease
from accredit.domain.errors import AccreditError, UpstreamUnavailable
from accredit.domain.ids import DeviceId
from accredit.domain.lease import Lease
from accredit.domain.linked_hub import HubKind
from accredit.domain.release import Release
from accredit.domain.subjects import Subject
from accredit.interfaces import RemoteHub, Stale, StoreUnavailable
from accredit.observe import log
from accredit.policy.retry import RetrySchedule
from accredit.provisioning.means import Means, pause

RELEASE_RETRY = RetrySchedule(base_s=2.0, cap_s=300.0)
"""Nobody waits for it; a hub that refuses us is asked again every few minutes, until the operator has mended it."""

_AT_ONCE = 256
_IDLE_S = 300.0
_IDLE_SHARED_S = 5.0

DUTY = "releases"


class Releases:
    """`wake` it after a commit that has put something into the outbox."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._store = means.store
        self._idle_s = _IDLE_SHARED_S if means.leases.shared else _IDLE_S
        self._hubs: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._means.bus.hear(Subject.RELEASES, lambda _: self._woken.set())
        self._task = asyncio.create_task(self._watch(), name="releases")

    async def stop(self) -> None:
        """What is not done stays in the outbox."""
        self._stopping.set()
        tasks = [*self._hubs.values(), *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        self._woken.set()
        self._means.bus.tell(Subject.RELEASES)

    def turn(self, hub: str, device_id: DeviceId) -> AbstractAsyncContextManager[Lease]:
        """Held by whoever creates or removes this device at that hub (its key)."""
        return self._means.leases.turn(f"device {device_id.text} at {hub}")

    async def _watch(self) -> None:
        while True:
            self._woken.clear()
            try:
                if await self._means.leases.mine(DUTY):
                    await self._begin()
            except StoreUnavailable:
                log.warning("store-unavailable", work="releases")
            # An entry may also come by a process that ended before it could wake anybody.
            waits = {
                asyncio.ensure_future(self._woken.wait()),
                asyncio.ensure_future(asyncio.sleep(self._idle_s)),
            }
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def _begin(self) -> None:
        """One task for each hub that has entries and none yet."""
        waiting = await self._store.releases(_AT_ONCE)
        by_hub = sorted(waiting, key=lambda release: release.hub)
        for hub, entries in groupby(by_hub, key=lambda release: release.hub):
            if hub not in self._hubs:
                clearing = self._clear(hub, list(entries))
                self._hubs[hub] = asyncio.create_task(clearing, name=f"releases at {hub}")

    async def _clear(self, hub: str, entries: list[Release]) -> None:
        failures = 0
        while entries:
            try:
                await self._release(hub, entries[0])
            except (StoreUnavailable, TimeoutError, Stale):
                wait_s = 1
            except AccreditError as refusal:
                wait_s = self._failed(entries[0], refusal, failures)
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                log.exception("release-failed", hub=hub, deviceId=str(entries[0].device_id))
                wait_s = RELEASE_RETRY.wait_s(failures + 1, self._means.jitter())
            else:
                failures = 0
                entries.pop(0)
                continue
            failures += 1
            # The next one may fare better: one device must not hold up the others.
            entries.append(entries.pop(0))
            await pause(self._means, self._stopping, wait_s)
        del self._hubs[hub]
        self._woken.set()  # there may be more than were read

    def _failed(self, release: Release, refusal: AccreditError, failures: int) -> int:
        log.warning(
            "release-postponed",
            hub=release.hub,
            deviceId=str(release.device_id),
            rule=refusal.rule,
            reason=refusal.message,
            hint=refusal.hint,
            evidence=refusal.evidence,
        )
        wait_s = RELEASE_RETRY.wait_s(failures + 1, self._means.jitter())
        return max(wait_s, refusal.retry_after_s) if isinstance(refusal, UpstreamUnavailable) else wait_s

    async def _release(self, key: str, release: Release) -> None:
        """Remove the device, or find that nothing is to be removed any more; then settle the entry."""
        async with self.turn(key, release.device_id) as lease:
            hub = await self._hub(key)
            if not await self._store.release_due(key, release.device_id):
                return
            if hub is not None:
                async with self._means.leases.in_time(lease.expires_at):
                    await hub.delete(release.device_id)
                log.info("device-released", hub=hub.name, deviceId=str(release.device_id))
            await self._store.commit([*self._means.leases.held(lease), SettleRelease(key, release.device_id)])

    async def _hub(self, key: str) -> RemoteHub | None:
        """None when it is not linked any more."""
        hub = await self._means.hubs.get(key)
        return hub if hub is not None and hub.kind is HubKind.AZURE else None
