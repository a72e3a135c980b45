"""Place: the phase of binding. Read what moves, tell the hub elsewhere, complete; each step may be done twice.

What was read from the old hub is committed before the new one is told, because after that only one of both is true.
The old hub is told last of all, when the operation has ended (`releases.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.changes import Change, EndSetbacks, ReleaseLater, SaveOperation, SettleOperation
from accredit.domain.credential import Certified, Credential, Presented
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.domain.lease import Lease
from accredit.domain.linked_hub import HubKind
from accredit.domain.registration import (
    Allocated,
    DataFate,
    Issued,
    Operation,
    OperationState,
    Phase,
    Status,
)
from accredit.domain.release import Release
from accredit.interfaces import RemoteHub
from accredit.observe import log
from accredit.provisioning import names
from accredit.provisioning.bind import bind, cut, device_data, elsewhere, identity, linked_hub
from accredit.provisioning.complete import complete
from accredit.provisioning.intent import Failure, Intent, until_it_stands
from accredit.provisioning.issue import unsigned
from accredit.provisioning.means import Means
from accredit.provisioning.record import record
from accredit.provisioning.releases import Releases
from accredit.values import replace
from accredit.wire.service_api.certificates import serial_hex


async def in_one_unit(means: Means, allocated: Allocated) -> bool:
    """Whether all that is to be done for this device is in our own database."""
    left = None if allocated.leaves is None else allocated.leaves.hub
    hubs = [await linked_hub(means.hubs, name) for name in (allocated.hub, left) if name is not None]
    return all(hub.kind is HubKind.EMBEDDED for hub in hubs)


async def place(means: Means, releases: Releases, intent: Intent) -> int | None:
    """One try; the seconds to wait when a hub can't answer now. Raises Refused or Failure."""
    try:
        allocated = await intent.allocated()
        if allocated.fate is DataFate.MOVES and intent.operation.data is None:
            await intent.save(data=await device_data(allocated, means.hubs))
        hub = await linked_hub(means.hubs, allocated.hub)
        if hub.kind is HubKind.EMBEDDED:
            await _completed(means, intent)
        else:
            # From the call to the commit, so that no other operation and no release speaks in between.
            async with releases.turn(elsewhere(hub.name), allocated.device_id) as lease:
                await _tell(means, intent, hub, await _receipt(means, intent, allocated), lease)
                await _completed(means, intent, means.leases.held(lease))
    except UpstreamUnavailable as failure:
        log.warning("hub-unavailable", operationId=intent.operation.id, reason=failure.message)
        return failure.retry_after_s
    except TimeoutError:
        log.warning("hub-unavailable", operationId=intent.operation.id, reason="no answer in time")
        return 1
    except UpstreamRejected as refusal:
        raise Failure(refusal) from refusal
    if allocated.leaves is not None:
        releases.wake()
    return None


async def _tell(means: Means, intent: Intent, hub: RemoteHub, issued: Issued, lease: Lease) -> None:
    # From here on the hub may know the device: whatever becomes of the operation, that is accounted for.
    await intent.save(submitted=True, attempt=intent.operation.attempt + 1)
    allocated = issued.allocated
    bindings = await means.store.bindings(allocated.registration_id, allocated.device_id)
    data = await device_data(allocated, means.hubs, intent.operation.data)
    async with means.leases.in_time(lease.expires_at):
        await hub.put(identity(issued, bindings, data, means.now()))


async def _completed(means: Means, intent: Intent, held: Sequence[Change] = ()) -> None:
    async def attempt() -> None:
        await finish(means, intent, await _receipt(means, intent, await intent.allocated()), held)

    refusal = await until_it_stands(attempt)
    if refusal is not None:
        raise Failure(refusal)


async def _receipt(means: Means, intent: Intent, allocated: Allocated) -> Issued:
    """For what is on record: the certificate of the operation, or none."""
    sha256 = intent.operation.certificate_sha256
    credential: Credential = Presented()
    if sha256 is not None:
        found = await means.store.certificate(sha256)
        assert found is not None, "certificates are never deleted"
        credential = Certified(found, fresh=False)
    return unsigned(allocated, credential, intent.operation.id)


async def finish(means: Means, intent: Intent, issued: Issued, held: Sequence[Change] = ()) -> None:
    """Complete the operation in one unit, in which the lease under which a hub was told is `held`. Raises Stale."""
    operation, now = intent.operation, means.now()
    recorded = record(issued, shared_key=means.shared_key)
    bound = await bind(recorded, means.hubs, now, names.etag(means.entropy), operation.data)
    credential = issued.credential
    sha256 = credential.record.issued.sha256 if isinstance(credential, Certified) else None
    ended = replace(operation, state=OperationState.ASSIGNED, certificate_sha256=sha256, submitted=False)
    etag = names.etag(means.entropy)
    closing: list[Change] = [SaveOperation(ended, operation.fence), *held]
    if await means.store.setbacks(operation.registration_id) is not None:
        closing.append(EndSetbacks(operation.registration_id))
    await complete(means.store, bound, operation.csr_field, now, etag, closing)
    intent.operation = ended
    if issued.allocated.leaves is not None:
        await cut(means.hubs, issued.allocated.leaves)
    if isinstance(credential, Certified):
        intent.log("assigned", certificate=serial_hex(credential.record.issued.serial))
    else:
        intent.log("assigned")


async def told_for_nothing(means: Means, operation: Operation) -> Sequence[Change]:
    """What has a hub elsewhere forget the device, when it may have been told of it by an operation that failed."""
    if operation.phase is not Phase.BIND or not operation.submitted or operation.hub is None:
        return ()
    registration = await means.store.registration(operation.registration_id)
    if (
        registration is not None
        and registration.status is Status.ASSIGNED
        and registration.hub == operation.hub
        and registration.device_id == operation.device_id
    ):
        return ()
    return (ReleaseLater(Release(elsewhere(operation.hub), operation.device_id, means.now())),)


async def withdraw(means: Means, releases: Releases, operation: Operation) -> None:
    """The same for an operation that was superseded while its hub was being told."""
    assert operation.hub is not None
    async with releases.turn(elsewhere(operation.hub), operation.device_id):
        unit = [*await told_for_nothing(means, operation), SettleOperation(operation.id, operation.fence)]
        await means.store.commit(unit)
    releases.wake()
