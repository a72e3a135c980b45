"""Orders to outside authorities: the durable intent, and the one task that pursues it in this process.

Nothing is sent before the intent is committed. What every possible answer leads to is in `pursue.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from accredit.domain.changes import Change, OpenOperation, SaveOperation, SaveRegistration
from accredit.domain.evidence import ProvenChain
from accredit.domain.registration import (
    Allocated,
    Operation,
    OperationState,
    Registration,
    Request,
    Status,
)
from accredit.interfaces import Entropy, Stale, StoreUnavailable
from accredit.observe import log
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.provisioning import names
from accredit.provisioning.issue import PROFILE, Wanted, profile_name
from accredit.provisioning.means import LEASE_S, Means
from accredit.provisioning.pursue import Pursuit, Superseded


class Orders:
    """Every open operation that this process works on."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._store = means.store
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def place(self, allocated: Allocated, request: Request, wanted: Wanted) -> Operation:
        """Commit the intent and start on it, or join the open operation for the same key.

        Raises Stale when the registration changed since it was read.
        """
        open_one = await self._store.open_operation(allocated.registration_id)
        operation = self._operation(allocated, request, wanted)
        if open_one is not None and _same_order(open_one, operation):
            return open_one
        unit: list[Change] = []
        if allocated.previous is None:
            unit.append(SaveRegistration(_assigning(operation, self._means.entropy), None))
        unit.append(OpenOperation(operation, None if open_one is None else open_one.id))
        await self._store.commit(unit)
        self._start(operation)
        return operation

    async def settled(self, operation_id: str, patience_s: float) -> bool:
        """Wait until the operation has ended, at most `patience_s` seconds; False when it has not, or is not ours."""
        task = self._tasks.get(operation_id)
        if task is None:
            return False
        await asyncio.wait({task}, timeout=patience_s)
        return task.done()

    async def resume(self) -> int:
        """Take over every open operation. Holding the data folder's lock ends every earlier lease."""
        now = int(self._means.clock.now())
        operations = await self._store.open_operations()
        for left in operations:
            taken = replace(
                left, fence=left.fence + 1, lease_owner=self._means.owner, lease_expires_at=now + LEASE_S
            )
            await self._store.commit([SaveOperation(taken, left.fence)])
            self._start(taken)
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
        )

    def _start(self, operation: Operation) -> None:
        task = asyncio.create_task(self._watch(operation), name=f"order {operation.id}")
        self._tasks[operation.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.id, None))

    async def _watch(self, operation: Operation) -> None:
        """Keep at it whatever happens: a bug or a full disk must not leave a device without an answer for ever."""
        failures = 0
        while not self._stopping.is_set():
            try:
                current = await self._store.operation(operation.id)
                if current is None or current.state is not OperationState.OPEN:
                    return
                await Pursuit(self._means, current, self._stopping).run()
            except (Superseded, Stale):
                if failures == 0:  # read again: it has ended, or something beside it was changed
                    failures = 1
                    continue
            except StoreUnavailable:
                log.warning("store-unavailable", operationId=operation.id)
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                log.exception("order-failed", operationId=operation.id, trackingId=operation.tracking_id)
            else:
                return
            failures += 1
            await self._means.sleep(AUTHORITY_RETRY.wait_s(failures, self._means.jitter()))


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


def _assigning(operation: Operation, entropy: Entropy) -> Registration:
    """The registration of a device that was never assigned: it belongs to the enrollment that proved it first."""
    return Registration(
        registration_id=operation.registration_id,
        enrollment=operation.enrollment,
        device_id=operation.device_id,
        hub=None,
        status=Status.ASSIGNING,
        substatus=None,
        operation_id=operation.id,
        etag=names.etag(entropy),
        created_at=operation.created_at,
        updated_at=operation.created_at,
    )
