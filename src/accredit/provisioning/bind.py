"""Bind: what makes the device and its credential good at its hub."""

from __future__ import annotations

from accredit.domain.device import DeviceData
from accredit.domain.errors import Refused
from accredit.domain.linked_hub import HubKind
from accredit.domain.receipts import Bound, Recorded
from accredit.domain.registration import Allocated, Substatus
from accredit.interfaces import Hubs


async def bind(recorded: Recorded, hubs: Hubs, now: int, token: str) -> Bound:
    """`token` names a new hub identity's generation. Raises Refused when the hub is not linked any more."""
    allocated = recorded.issued.allocated
    hub = await hubs.get(allocated.hub)
    if hub is None or hub.kind is not HubKind.EMBEDDED:
        raise Refused(
            "The hub of the assignment is not linked any more.",
            rule="no-hub",
            evidence=f"hub {allocated.hub}",
        )
    return Bound(recorded, tuple(hub.bind(recorded.issued, now, token, _data(allocated))))


def _data(allocated: Allocated) -> DeviceData | None:
    """What the twin shall be; None where the device keeps what it has."""
    if allocated.substatus is Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT:
        return None
    enrollment = allocated.attested.enrollment
    twin = enrollment.initial_twin or {}
    properties = twin.get("properties") or {}
    return DeviceData(twin.get("tags") or {}, properties.get("desired") or {}, enrollment.iot_edge)
