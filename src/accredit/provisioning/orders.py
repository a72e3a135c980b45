"""Orders to outside authorities: the durable intent, and the one task that pursues it in this process.

Nothing is sent before the intent is committed. What every possible answer leads to is in `pursue.py`, and, for an
operation that was superseded, in `collect.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accredit.domain.changes import (
    AssertAuthority,
    AssertEnrollment,
    Change,
    OpenOperation,
    SaveOperation,
    SaveRegistration,
    SupersedeOperation,
)
from accredit.domain.evidence import Attested, DeviceKeys, ProvenChain
from accredit.domain.registration import (
    Allocated,
    Operation,
    OperationState,
    Registration,
    Request,
    Status,
)
from accredit.interfaces import Stale, StoreUnavailable
from accredit.observe import log
from accredit.policy import admission
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.provisioning import names
from accredit.provisioning.collect import collect
from accredit.provisioning.intent import Superseded
from accredit.provisioning.issue import PROFILE, Wanted, profile_name
from accredit.provisioning.means import LEASE_S, Means, pause
from accredit.provisioning.pursue import Pursuit
from accredit.provisioning.tpm import remembered


@dataclass(frozen=True, slots=True)
class Placed:
    """An order stands for this device: its own, or the open one that it joined."""

    operation_id: str
    attested: Attested


class Orders:
    """Every open operation that this process works on."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._store = means.store
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def place(self, allocated: Allocated, request: Request, wanted: Wanted) -> Placed:
        """Commit the intent and start on it, or join the open operation for the same key.

        Raises Stale when enrollment, authority or registration have changed since they were read.
        """
        open_one = await self._store.open_operation(allocated.registration_id)
        operation = self._operation(allocated, request, wanted)
        if open_one is not None and _same_order(open_one, operation):
            if proof := remembered(allocated.attested):
                await self._store.commit(proof)
            return Placed(open_one.id, allocated.attested)
        enrollment, previous = allocated.attested.enrollment, allocated.previous
        registration = _assigning(operation, previous, names.etag(self._means.entropy))
        unit: list[Change] = [
            AssertEnrollment(enrollment.ref, enrollment.etag),
            AssertAuthority(wanted.authority.name, wanted.authority.version),
            *admission.room(allocated.attested, previous),
            SaveRegistration(registration, None if previous is None else previous.etag),
            OpenOperation(operation, None if open_one is None else open_one.id),
            *remembered(allocated.attested),
        ]
        await self._store.commit(unit)
        self._start(operation)
        return Placed(operation.id, allocated.attested)

    async def superseding(self, allocated: Allocated) -> Sequence[Change]:
        """What ends the open operation of a device that gets its certificate without one."""
        if allocated.previous is None:
            return ()
        open_one = await self._store.open_operation(allocated.registration_id)
        return () if open_one is None else (SupersedeOperation(open_one.id, open_one.registration_id),)

    async def settled(self, operation_id: str, patience_s: float) -> bool:
        """Wait until the operation has ended, at most `patience_s` seconds; False when it has not, or is not ours."""
        task = self._tasks.get(operation_id)
        if task is None:
            return False
        await asyncio.wait({task}, timeout=patience_s)
        return task.done()

    async def resume(self) -> int:
        """Take over what an earlier process left. Holding the data folder's lock ends every earlier lease."""
        now = int(self._means.clock.now())
        operations = await self._store.open_operations()
        for left in operations:
            taken = replace(
                left, fence=left.fence + 1, lease_owner=self._means.owner, lease_expires_at=now + LEASE_S
            )
            await self._store.commit([SaveOperation(taken, left.fence)])
            self._start(taken)
        for superseded in await self._store.unsettled_operations():
            self._start(superseded)
        return len(operations)

    async def stop(self, grace_s: float) -> None:
        """Finish the calls in hand; what is not done by then stays open and is resumed by the next start."""
        self._stopping.set()
        tasks = set(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _operation(self, allocated: Allocated, request: Request, wanted: Wanted) -> Operation:
        attested = allocated.attested
        now = int(self._means.clock.now())
        proof = attested.proof
        return Operation(
            id=names.operation_id(self._means.entropy),
            registration_id=allocated.registration_id,
            enrollment=attested.enrollment.ref,
            enrollment_etag=attested.enrollment.etag,
            enrollment_generation=attested.enrollment.generation,
            authority=wanted.authority.name,
            authority_version=wanted.authority.version,
            profile=profile_name(PROFILE),
            device_id=allocated.device_id,
            hub=allocated.hub,
            substatus=allocated.substatus,
            csr_der=wanted.request.der,
            csr_field=wanted.request.field,
            spki_sha256=wanted.request.spki_sha256,
            payload=request.payload,
            bootstrap_certificate=proof.chain[0] if isinstance(proof, ProvenChain) else None,
            tracking_id=request.tracking_id,
            created_at=now,
            deadline_at=now + self._means.ca_retry_s,
            lease_owner=self._means.owner,
            lease_expires_at=now + LEASE_S,
            key_spelling=proof.spelling if isinstance(proof, DeviceKeys) else None,
        )

    def _start(self, operation: Operation) -> None:
        task = asyncio.create_task(self._watch(operation), name=f"order {operation.id}")
        self._tasks[operation.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.id, None))

    async def _watch(self, operation: Operation) -> None:
        """Keep at it whatever happens: a bug or a full disk must not leave a device without an answer for ever."""
        failures = 0
        broken = False
        pursuit: Pursuit | None = None
        while not self._stopping.is_set():
            try:
                current = await self._store.operation(operation.id)
                if current is None or current.fence != operation.fence:
                    return
                in_hand = None if pursuit is None else pursuit.in_hand
                if current.state is OperationState.OPEN:
                    pursuit = Pursuit(self._means, current, self._stopping, in_hand)
                    await pursuit.end(broken=broken)
                elif current.state is OperationState.SUPERSEDED and current.submitted:
                    await collect(self._means, current, self._stopping, in_hand)
            except (Superseded, Stale):
                if failures == 0:  # read again: it has ended, or something beside it was changed
                    failures = 1
                    continue
            except StoreUnavailable:
                log.warning("store-unavailable", operationId=operation.id)
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                broken = True
                log.exception("order-failed", operationId=operation.id, trackingId=operation.tracking_id)
            else:
                return
            failures += 1
            seconds = AUTHORITY_RETRY.wait_s(failures, self._means.jitter())
            await pause(self._means, self._stopping, seconds)


def _same_order(open_one: Operation, asked: Operation) -> bool:
    """The same CSR while an operation is open joins it."""
    return (
        open_one.spki_sha256 == asked.spki_sha256
        and open_one.authority == asked.authority
        and open_one.authority_version == asked.authority_version
        and open_one.profile == asked.profile
        and open_one.enrollment_generation == asked.enrollment_generation
        and open_one.enrollment == asked.enrollment
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
