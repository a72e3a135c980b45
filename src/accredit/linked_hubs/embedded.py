"""The embedded hub as provisioning sees it: the changes that make a device and its credential good there.

The hub lives in the same database, so these changes join the registration's own unit of work: an assignment is never
committed without them. What the changes mean for connections is judged in `hub/identities.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

from accredit.domain.changes import (
    AssertHub,
    BindCertificate,
    Change,
    CutSession,
    DeleteHubDevice,
    SaveHubDevice,
)
from accredit.domain.credential import Certified
from accredit.domain.device import DeviceData, HubDevice, TwinVersions
from accredit.domain.enrollment import Enrollment, LeafCertificates, SymmetricKeys
from accredit.domain.evidence import DeviceKeys, ProvenChain, ProvenHeld, ProvenOnce, ProvenTpm
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB, HubKind
from accredit.domain.registration import Issued
from accredit.hub.sessions import RELEASED
from accredit.interfaces import Store
from accredit.policy import tpm_challenge


class EmbeddedHub:
    """`interfaces.Hub` for a hub of this very service; `name` is what devices see as `assignedHub`."""

    kind: Literal[HubKind.EMBEDDED] = HubKind.EMBEDDED

    def __init__(
        self,
        name: str,
        store: Store,
        key: str = FIRST_HUB,
        cut: Callable[[str, DeviceId], None] | None = None,
    ) -> None:
        """`cut` ends the connection that a device has at the hub of this key."""
        self.name = name
        self._cut = cut
        self._store = store
        self._key = key

    def bind(self, issued: Issued, now: int, token: str, data: DeviceData | None) -> Sequence[Change]:
        """The identity, and the certificate when one was asked for; without one earlier bindings stay as they are.

        A renewal leaves the identity alone.
        """
        changes: list[Change] = []
        if not isinstance(issued.allocated.attested.proof, ProvenHeld):
            identity = self._identity(issued, now, token, data or DeviceData())
            changes.append(SaveHubDevice(identity, keeps_data=data is None))
        if self._key != FIRST_HUB:
            changes.append(AssertHub(self._key))
        if isinstance(issued.credential, Certified):
            leaf = issued.credential.record.issued
            changes.append(
                BindCertificate(
                    device_id=issued.allocated.device_id,
                    sha256=leaf.sha256,
                    not_before=leaf.not_before,
                    not_after=leaf.not_after,
                    bound_at=now,
                )
            )
        return changes

    async def data(self, device_id: DeviceId) -> DeviceData | None:
        device = await self._store.hub_device(self._key, device_id)
        return None if device is None else device.data

    def release(self, device_id: DeviceId, registration_id: RegistrationId) -> Sequence[Change]:
        return (
            DeleteHubDevice(self._key, device_id, registration_id=registration_id),
            CutSession(self._key, device_id, RELEASED),
        )

    def released(self, device_id: DeviceId) -> None:
        if self._cut is not None:
            self._cut(self._key, device_id)

    def _identity(self, issued: Issued, now: int, token: str, data: DeviceData) -> HubDevice:
        allocated = issued.allocated
        keys: DeviceKeys | None = None
        thumbprint: bytes | None = None
        match allocated.attested.proof:
            case DeviceKeys() as keys:
                pass
            case ProvenChain(chain):
                thumbprint = hashlib.sha256(chain[0]).digest()
            case ProvenOnce():
                keys, thumbprint = _enrolled(allocated.attested.enrollment)
            case ProvenHeld():
                raise TypeError("a renewal leaves the identity alone")
            case ProvenTpm(hub_secret=secret):
                keys = tpm_challenge.hub_keys(secret, issued.operation_id)
        return HubDevice(
            device_id=allocated.device_id,
            registration_id=allocated.registration_id,
            generation_id=token,
            etag=token,
            created_at=now,
            updated_at=now,
            keys=keys,
            thumbprint=thumbprint,
            data=data,
            twin=TwinVersions(updated_at=now),
            hub=self._key,
        )


def _enrolled(enrollment: Enrollment) -> tuple[DeviceKeys | None, bytes | None]:
    """What an individual enrollment itself opens the hub with, where it was proven by something else."""
    match enrollment.attestation:
        case SymmetricKeys(primary, secondary):
            return DeviceKeys(primary, secondary), None
        case LeafCertificates(primary=certificate):
            return None, hashlib.sha256(certificate).digest()
        case _:
            return None, None
