"""Bind: what makes the device and its credential good at its hub, and takes it away from the hub that it had.

For a hub in this service's own database these are changes of the registration's unit of work. A hub elsewhere is told
what it shall hold before that unit, by `place.py`; here is only what this says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from accredit.domain.changes import BindCertificate, Change, ReleaseLater, SettleRelease
from accredit.domain.credential import Certified
from accredit.domain.device import Binding, DeviceData, HubIdentity
from accredit.domain.evidence import DeviceKeys, ProvenChain, ProvenHeld, ProvenOnce, ProvenTpm
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubKind
from accredit.domain.receipts import Bound, Recorded
from accredit.domain.registration import Allocated, DataFate, Issued, Registration
from accredit.domain.release import Release
from accredit.interfaces import Hub, Hubs, RemoteHub
from accredit.policy import reprovisioning, tpm_challenge
from accredit.provisioning.allocate import changed_meanwhile
from accredit.values import replace

MOST_THUMBPRINTS = 2


async def bind(
    recorded: Recorded, hubs: Hubs, now: int, token: str, moved: DeviceData | None = None
) -> Bound:
    """`token` names a new hub identity's generation; `moved` is the device's data where that was read already."""
    issued = recorded.issued
    allocated = issued.allocated
    hub = await linked_hub(hubs, allocated.hub)
    changes: list[Change] = []
    if hub.kind is HubKind.EMBEDDED:
        changes += hub.bind(issued, now, token, await device_data(allocated, hubs, moved))
    else:
        changes.append(SettleRelease(elsewhere(hub.name), allocated.device_id))
        if isinstance(issued.credential, Certified):
            changes.append(_binding(allocated.device_id, issued.credential, now))
    if allocated.leaves is not None:
        changes += await _left(allocated, allocated.leaves, hubs, now)
    return Bound(recorded, tuple(changes))


def _binding(device_id: DeviceId, credential: Certified, now: int) -> Change:
    leaf = credential.record.issued
    return BindCertificate(device_id, leaf.sha256, leaf.not_before, leaf.not_after, now)


async def _left(allocated: Allocated, at_hub: Registration, hubs: Hubs, now: int) -> Sequence[Change]:
    """What takes the device away from the hub that it had."""
    old = await hubs.get(at_hub.hub or "")
    if old is None:
        return ()
    if old.kind is HubKind.EMBEDDED:
        return old.release(at_hub.device_id, allocated.registration_id)
    return (ReleaseLater(Release(elsewhere(old.name), at_hub.device_id, now)),)


async def cut(hubs: Hubs, at_hub: Registration) -> None:
    """End the connection at a hub of ours that the device has moved away from: told once the unit stands."""
    old = await hubs.get(at_hub.hub or "")
    if old is not None and old.kind is HubKind.EMBEDDED:
        old.released(at_hub.device_id)


def elsewhere(name: str) -> str:
    """The key of a hub elsewhere (`LinkedHub.key`)."""
    return name.lower()


async def linked_hub(hubs: Hubs, name: str) -> Hub | RemoteHub:
    """Raises Refused when it was unlinked meanwhile."""
    hub = await hubs.get(name)
    if hub is None:
        raise changed_meanwhile()
    return hub


async def device_data(allocated: Allocated, hubs: Hubs, moved: DeviceData | None = None) -> DeviceData | None:
    """What the device's data shall be at its hub; None: it stays as it is. May raise what a remote hub raises.

    Azure: an initial twin that comes with the hub goes before the one that would move. The capability moves anyway.
    """
    if allocated.fate is DataFate.STAYS:
        return None
    enrollment = allocated.attested.enrollment
    twin = allocated.initial_twin or enrollment.initial_twin
    initial = reprovisioning.initial(twin, iot_edge=enrollment.iot_edge)
    if allocated.fate is DataFate.INITIAL:
        return initial
    if allocated.leaves is None:
        return None
    if moved is None:
        old = await hubs.get(allocated.leaves.hub or "")
        moved = None if old is None else await old.data(allocated.leaves.device_id)
    if moved is None:
        return initial
    return moved if allocated.initial_twin is None else replace(initial, iot_edge=moved.iot_edge)


def identity(issued: Issued, bindings: Sequence[Binding], data: DeviceData | None, now: int) -> HubIdentity:
    """What a hub elsewhere shall hold: the newest certificate and the one before it, else what proved the device."""
    good = [binding.sha256 for binding in bindings if binding.good(now)]
    if isinstance(issued.credential, Certified):
        newest = issued.credential.record.issued.sha256
        good = [newest, *(sha256 for sha256 in good if sha256 != newest)]
    proof = issued.allocated.attested.proof
    keys: DeviceKeys | None = None
    if not good:
        match proof:
            case DeviceKeys():
                keys = proof
            case ProvenChain(chain):
                good = [hashlib.sha256(chain[0]).digest()]
            case ProvenHeld(certificate):  # a renewal always brings a certificate
                good = [hashlib.sha256(certificate).digest()]
            case ProvenOnce():  # so does a one-time password
                pass
            case ProvenTpm(hub_secret=secret):
                keys = tpm_challenge.hub_keys(secret, issued.operation_id)
    return HubIdentity(issued.allocated.device_id, keys, tuple(good[:MOST_THUMBPRINTS]), data)
