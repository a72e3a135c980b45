"""The embedded hub as provisioning sees it: the changes that make a device and its credential good there.

The hub lives in the same database, so these changes join the registration's own unit of work: an assignment is never
committed without them. What the changes mean for connections is judged in `hub/identities.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from accredit.domain.changes import BindCertificate, Change, SaveHubDevice
from accredit.domain.credential import Certified
from accredit.domain.device import HubDevice
from accredit.domain.evidence import DeviceKeys, ProvenChain
from accredit.domain.registration import Issued


class EmbeddedHub:
    """`interfaces.Hub` for the hub of this very service; `name` is what devices see as `assignedHub`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def bind(self, issued: Issued, now: int, token: str) -> Sequence[Change]:
        """The identity, and the certificate when one was asked for; without one earlier bindings stay as they are."""
        device = SaveHubDevice(_identity(issued, now, token))
        if not isinstance(issued.credential, Certified):
            return (device,)
        leaf = issued.credential.record.issued
        binding = BindCertificate(
            device_id=device.device.device_id,
            sha256=leaf.sha256,
            not_before=leaf.not_before,
            not_after=leaf.not_after,
            bound_at=now,
        )
        return (device, binding)


def _identity(issued: Issued, now: int, token: str) -> HubDevice:
    allocated = issued.allocated
    enrollment = allocated.attested.enrollment
    keys: DeviceKeys | None = None
    thumbprint: bytes | None = None
    match allocated.attested.proof:
        case DeviceKeys() as keys:
            pass
        case ProvenChain(chain):
            thumbprint = hashlib.sha256(chain[0]).digest()
    return HubDevice(
        device_id=allocated.device_id,
        registration_id=allocated.registration_id,
        generation_id=token,
        etag=token,
        created_at=now,
        updated_at=now,
        keys=keys,
        thumbprint=thumbprint,
        initial_twin=enrollment.initial_twin,
        iot_edge=enrollment.iot_edge,
    )
