"""Operations: the durable intent of what can't be done in one unit, and the one task that pursues it, in one process.

That is every registration for which somebody outside is asked: a webhook, an authority, a hub elsewhere. Nobody is
asked anything before the intent is committed. Whose lease has ended is taken over by whichever process finds it first. What every possible answer leads to is in `pursue.py`, and, for an
operation that was superseded, in `collect.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from accredit.domain.changes import (
    AssertAuthority,
    AssertEnrollment,
    Change,
    OpenOperation,
    RenewOperations,
    SaveRegistration,
    SupersedeOperation,
    TakeOperation,
)
from accredit.domain.credential import Credential
from accredit.domain.evidence import Attested
from accredit.domain.ids import AuthorityName
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.registration import (
    Admitted,
    Allocated,
    Operation,
    OperationState,
    Registration,
    Request,
    Status,
)
from accredit.domain.subjects import Subject
from accredit.interfaces import CommitUnknown, Stale, StoreUnavailable
from accredit.observe import log
from accredit.policy import admission
from accredit.policy.allocation import AskWebhook
from accredit.provisioning import names
from accredit.provisioning.allocate import asks_first
from accredit.provisioning.complete import resting_on
from accredit.provisioning.elsewhere import Elsewhere
from accredit.provisioning.intended import intended
from accredit.provisioning.issue import Wanted
from accredit.provisioning.means import Means
from accredit.provisioning.releases import Releases
from accredit.provisioning.tpm import remembered
from accredit.provisioning.watch import Watch
from accredit.values import dataclass, replace

OUTCOME_TOLD_S = 120
"""Behind an operation's deadline, for how long who repeats the call hears that it failed: longer than clients pause."""


SWEEP_S = 5.0
_TAKEN_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Placed:
    """An operation stands for this device: its own, or the open one that it joined."""

    operation_id: str
    attested: Attested


def at_once(allocated: Allocated, settled: Credential | Wanted, linked: Sequence[LinkedHub]) -> bool:
    """Whether nobody outside is to be asked, so that one unit of work does it all."""
    if asks_first(allocated) or (isinstance(settled, Wanted) and not settled.authority.in_process):
        return False
    if len(linked) == 1:  # the first hub of our own
        return True
    left = None if allocated.leaves is None else allocated.leaves.hub
    return all(hub.kind is HubKind.EMBEDDED for hub in linked if hub.name in (allocated.hub, left))


class Orders:
    """Every open operation that this process works on."""

    def __init__(self, means: Means, releases: Releases) -> None:
        self._means = means
        self._releases = releases
        self._store = means.store
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._sweeping: asyncio.Task[None] | None = None
        self._elsewhere = Elsewhere(means.store, means.bus)

    async def place(
        self,
        admitted: Admitted,
        allocated: Allocated | AskWebhook,
        settled: Credential | Wanted,
        csr_field: str | None,
        request: Request,
    ) -> Placed:
        """Commit the intent and start on it, or join the open operation for the same thing.

        Raises Stale when enrollment, authority or registration have changed since they were read.
        """
        open_one = await self._store.open_operation(admitted.registration_id)
        operation = intended(self._means, admitted, allocated, settled, csr_field, request)
        enrollment = admitted.attested.enrollment
        if open_one is not None and _joins(operation, open_one, enrollment.authorities):
            if proof := (*resting_on(admitted.attested), *remembered(admitted.attested)):
                await self._store.commit(proof)
            return Placed(open_one.id, admitted.attested)
        if request.repeats and open_one is None:
            newest = await self._store.newest_operation(admitted.registration_id)
            if newest is not None and _tells(newest, operation, enrollment.authorities):
                return Placed(newest.id, admitted.attested)
        previous = admitted.previous
        registration = _assigning(operation, previous, names.etag(self._means.entropy))
        unit: list[Change] = [AssertEnrollment(enrollment.ref, enrollment.etag)]
        if operation.authority is not None:
            unit.append(AssertAuthority(operation.authority, operation.authority_version))
        unit += resting_on(admitted.attested)
        unit += admission.room(admitted.attested, previous)
        unit.append(SaveRegistration(registration, None if previous is None else previous.etag))
        unit.append(OpenOperation(operation, None if open_one is None else open_one.id))
        unit += remembered(admitted.attested)
        await self._begin(unit, operation)
        return Placed(operation.id, admitted.attested)

    async def superseding(self, allocated: Allocated) -> Sequence[Change]:
        """What ends the open operation of a device that gets its certificate without one."""
        if allocated.previous is None:
            return ()
        open_one = await self._store.open_operation(allocated.registration_id)
        return () if open_one is None else (SupersedeOperation(open_one.id, open_one.registration_id),)

    async def settled(self, operation_id: str, patience_s: float) -> bool:
        """Wait until the operation has ended, at most `patience_s` seconds; False when it has not, or is not ours."""
        task = self._tasks.get(operation_id)
        if task is not None:
            await asyncio.wait({task}, timeout=patience_s)
            return task.done()
        return self._means.leases.shared and await self._elsewhere.ended(operation_id, patience_s)

    async def resume(self) -> int:
        """Take over what an earlier process left, and go on doing so; returns how many open operations there were.

        Holding the data folder's lock ends every earlier lease; among several processes each has its time.
        """
        if self._means.leases.shared:
            self._sweeping = asyncio.create_task(self._sweeps(), name="operations left by others")
            lapsed = await self._store.lapsed_operations(self._means.leases.now(), _TAKEN_AT_ONCE)
        else:
            lapsed = [*await self._store.open_operations(), *await self._store.unsettled_operations()]
        await self._take(lapsed)
        return sum(each.state is OperationState.OPEN for each in lapsed)

    async def stop(self, grace_s: float) -> None:
        """Finish the calls in hand; what is not done by then stays open, for the next start or for another process."""
        self._stopping.set()
        if self._sweeping is not None:
            self._sweeping.cancel()
        tasks = set(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leave()

    async def _leave(self) -> None:
        """Give back what is left, so that another process need not wait for the leases to end."""
        if self._means.leases.shared:
            with suppress(StoreUnavailable):
                await self._store.commit([RenewOperations(self._means.owner, self._means.leases.now())])

    async def _begin(self, unit: Sequence[Change], operation: Operation) -> None:
        """Commit, and start on the operation, also where it may not stand: no other process takes what this one renews."""
        try:
            await self._store.commit(unit)
        except CommitUnknown:
            self._start(operation, unknown=True)
            raise
        self._start(operation)

    def _start(self, operation: Operation, *, unknown: bool = False) -> None:
        watch = Watch(self._means, self._releases, operation, self._stopping, unknown=unknown)
        task = asyncio.create_task(watch.to_the_end(), name=f"operation {operation.id}")
        self._tasks[operation.id] = task
        task.add_done_callback(partial(self._ended, operation.id))

    def _ended(self, operation_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(operation_id) is task:
            del self._tasks[operation_id]
        self._means.bus.tell(Subject.OPERATION, operation_id)

    async def _take(self, lapsed: Sequence[Operation]) -> None:
        """Lease these operations, and go on with them; those that somebody else was quicker to take are left to him."""
        owner, until = self._means.owner, self._means.leases.until()
        for left in lapsed:
            if left.id in self._tasks:  # it lost its lease, and learns of it by what it can't commit
                continue
            with suppress(Stale):
                taken = replace(left, fence=left.fence + 1, lease_owner=owner, lease_expires_at=until)
                await self._begin([TakeOperation(left.id, left.fence, owner, until)], taken)

    async def sweep(self) -> None:
        """Renew what this process works on, take what has been left. Raises StoreUnavailable."""
        leases = self._means.leases
        if self._tasks:
            await self._store.commit([RenewOperations(self._means.owner, leases.until())])
        await self._take(await self._store.lapsed_operations(leases.now(), _TAKEN_AT_ONCE))

    async def _sweeps(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except StoreUnavailable:
                log.warning("store-unavailable", work="operations")
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                log.exception("operations-not-swept")


def _joins(asked: Operation, open_one: Operation, authorities: Sequence[AuthorityName]) -> bool:
    """The same request while an operation is open joins it.

    By then another of the `authorities` may have been asked for it. One without a CSR joins any: what the device asked for earlier is still under way.
    """
    same_device = (
        open_one.request_id == asked.request_id
        and open_one.enrollment == asked.enrollment
        and open_one.enrollment_generation == asked.enrollment_generation
    )
    if asked.csr_field is None:
        return (
            same_device
            and open_one.enrollment_etag == asked.enrollment_etag
            and open_one.bootstrap_certificate == asked.bootstrap_certificate
            and (open_one.csr_field is not None or open_one.payload == asked.payload)
        )
    return (
        same_device
        and open_one.spki_sha256 == asked.spki_sha256
        and open_one.authority in authorities
        and (open_one.authority_version == asked.authority_version or open_one.authority != asked.authority)
        and open_one.profile == asked.profile
    )


def _tells(newest: Operation, asked: Operation, authorities: Sequence[AuthorityName]) -> bool:
    """Whether a call that is repeated word for word hears how the last operation failed, instead of starting anew."""
    return (
        newest.state is OperationState.FAILED
        and newest.csr_der == asked.csr_der
        and newest.enrollment_etag == asked.enrollment_etag
        and _joins(asked, newest, authorities)
        and asked.created_at < newest.deadline_at + OUTCOME_TOLD_S
    )


def _assigning(operation: Operation, previous: Registration | None, etag: str) -> Registration:
    """The registration while the order is under way: one that was assigned once stays as it is.

    Any other belongs to the enrollment that proved it now.
    """
    if previous is not None and previous.status is Status.ASSIGNED:
        return previous
    return Registration(
        registration_id=operation.registration_id,
        enrollment=operation.enrollment,
        device_id=operation.device_id,
        hub=None,
        status=Status.ASSIGNING,
        substatus=None,
        operation_id=operation.id,
        etag=etag,
        created_at=operation.created_at if previous is None else previous.created_at,
        updated_at=operation.created_at,
    )
