"""Carries mass revocations out: live connections first, then the devices, one portion a commit.

Each portion is one unit with the new position, so that a crash loses nothing and counts nothing twice; a start goes on
with what is open. A portion whose devices change meanwhile is tried again, and is made smaller. Where several processes
share the store, each cuts its own connections, within a second, and one of them goes through the devices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from accredit.administration.device_revocation import CUT, Act, DeviceRevocation, Plan
from accredit.administration.revocation import Effects
from accredit.domain.credential import CertificateRecord
from accredit.domain.ids import AuthorityName, GroupId, RegistrationId
from accredit.domain.mass_revocation import AdvanceMassRevocation, MassRevocation, Progress, Tally
from accredit.domain.registration import Status
from accredit.interfaces import Clock, Stale, Store, StoreUnavailable
from accredit.observe import log
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.processes import Leases

DUTY = "mass revocations"
LOOK_S = 1.0
PORTION = 100
"""Devices in a commit: it holds the event loop for some milliseconds."""

_CUT_AT_ONCE = 100
_PLANNED_AT_ONCE = 20


class MassRevoker:
    """One task for each mass revocation that is open."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        devices: DeviceRevocation,
        effects: Effects,
        leases: Leases | None = None,
    ) -> None:
        """Without `leases` there is no other process."""
        self._store = store
        self._leases = leases
        self._watching: asyncio.Task[None] | None = None
        self._clock = clock
        self._devices = devices
        self._effects = effects
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> int:
        """Go on with what an earlier process left open; how many that are. Others' are found as they are begun."""
        found = await self._resume()
        if self._leases is not None and self._leases.shared:
            self._watching = asyncio.create_task(self._watch(), name="mass revocations")
        return found

    def begin(self, revocation_id: str) -> None:
        """Carry it out, unless that is done already."""
        if revocation_id not in self._tasks:
            task = asyncio.create_task(self._carried_out(revocation_id), name=f"revocation {revocation_id}")
            self._tasks[revocation_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(revocation_id, None))

    async def stop(self) -> None:
        """What is left is gone on with by the next start."""
        tasks = [*self._tasks.values(), *([] if self._watching is None else [self._watching])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _resume(self) -> int:
        found = await self._store.open_mass_revocations()
        for each in found:
            self.begin(each.id)
        return len(found)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._resume()
            except StoreUnavailable:
                log.warning("store-unavailable", work="mass-revocation")

    async def _carried_out(self, revocation_id: str) -> None:
        cut: int | None = None
        size, failures = PORTION, 0
        while True:
            try:
                revocation = await self._store.mass_revocation(revocation_id)
                if revocation is None or revocation.ended_at is not None:
                    return
                if cut is None:
                    cut = await self._cut_all(revocation)
                if self._leases is not None and not await self._leases.mine(DUTY):
                    # Looked at again: what this process remembers of the store may have been older for a moment.
                    await asyncio.sleep(LOOK_S)
                    cut += await self._cut_all(revocation)
                    continue
                cut = await self._advanced(revocation, size, cut)
                size, failures = PORTION, 0
            except Stale:
                # At one device this goes on until that one stands still.
                size = max(1, size // 2)
                await asyncio.sleep(0)
            except StoreUnavailable:
                log.warning("store-unavailable", work="mass-revocation")
                failures += 1
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                log.exception("mass-revocation-failed", revocationId=revocation_id)
                failures += 1
            if failures:
                await asyncio.sleep(AUTHORITY_RETRY.wait_s(failures, 0.0))

    async def _cut_all(self, revocation: MassRevocation) -> int:
        """End every live connection of those that are covered. None of them is let in again while the revocation is open."""
        live = [each for each in self._effects.connected() if each.registration_id is not None]
        cut = 0
        for start in range(0, len(live), _CUT_AT_ONCE):
            batch = live[start : start + _CUT_AT_ONCE]
            asked = [each.registration_id for each in batch if each.registration_id is not None]
            covered = await self._store.covered(revocation, asked)
            for each in batch:
                if each.registration_id in covered:
                    cut += self._effects.cut(each.hub, each.device_id, CUT)
            await asyncio.sleep(0)
        return cut

    async def _advanced(self, revocation: MassRevocation, size: int, cut: int) -> int:
        """One step; how many connections were cut by it, which the next one counts. Raises Stale and StoreUnavailable."""
        position, seen = revocation.position, 0
        while True:
            portion = await self._store.portion_to_revoke(revocation, position, size)
            position, seen = portion.next, seen + portion.seen
            if portion.registration_ids or position is None:
                break
            await asyncio.sleep(0)
        now = int(self._clock.now())
        plans = await self._plans(revocation, portion.registration_ids, now)
        progress = Progress(position, seen, _tally(plans, cut), _certificates(plans))
        changes = [change for plan in plans for change in plan.changes]
        await self._store.commit(
            [*changes, AdvanceMassRevocation(revocation.id, revocation.position, progress, now)]
        )
        return self._told(revocation, plans, ended=progress.next is None)

    async def _plans(
        self, revocation: MassRevocation, registration_ids: Sequence[RegistrationId], now: int
    ) -> list[Plan]:
        act = Act(revocation.reason, now, revocation.id)
        plans: list[Plan] = []
        for number, each in enumerate(registration_ids, 1):
            plan = await self._plan(revocation, each, act)
            if plan is not None:
                plans.append(plan)
            if number % _PLANNED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return plans

    async def _plan(
        self, revocation: MassRevocation, registration_id: RegistrationId, act: Act
    ) -> Plan | None:
        """None where nothing is left to be done."""
        if not isinstance(revocation.target, GroupId):

            def covers(record: CertificateRecord) -> bool:
                return revocation.covers(record.authority, record.issued.chain[1:])

            return await self._devices.signed_by(
                registration_id, covers, act, keeps_device=revocation.keeps_devices
            )
        registration = await self._store.registration(registration_id)
        # It may have been moved to another enrollment since the portion was read.
        if registration is None or registration.enrollment.key != revocation.target.key:
            return None
        plan = await self._devices.whole(registration, act)
        off_before = registration.status is Status.DISABLED and not any(
            each.enabled for each in plan.identities
        )
        return None if off_before and not plan.certificates and plan.operation is None else plan

    def _told(self, revocation: MassRevocation, plans: Sequence[Plan], *, ended: bool) -> int:
        """What a committed step does beside the store; how many connections were cut."""
        if any(not each.settled for plan in plans for each in plan.certificates):
            self._effects.wake()
        if ended:
            log.warning("mass-revocation-ended", revocationId=revocation.id, target=revocation.target.text)
        return sum(
            self._effects.cut(hub, device_id, CUT) for plan in plans for hub, device_id in plan.connections
        )


def _tally(plans: Sequence[Plan], cut: int) -> Tally:
    return Tally(
        devices=sum(plan.registration is not None for plan in plans),
        identities=sum(each.enabled for plan in plans for each in plan.identities),
        operations=sum(plan.operation is not None for plan in plans),
        connections=cut,
        certificates=sum(len(plan.certificates) for plan in plans),
    )


def _certificates(plans: Sequence[Plan]) -> dict[AuthorityName, tuple[int, int]]:
    """By authority: how many certificates, and how many of them need nobody to be told."""
    found: dict[AuthorityName, tuple[int, int]] = {}
    for plan in plans:
        for each in plan.certificates:
            all_of, settled = found.get(each.record.authority, (0, 0))
            found[each.record.authority] = (all_of + 1, settled + each.settled)
    return found
