"""A connection at an embedded hub that has to end, in whichever process it is."""

from __future__ import annotations

from accredit.domain.ids import DeviceId
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class SessionCut:
    """`number` grows in the order of commits; `hub` is the hub's key."""

    number: int
    hub: str
    device_id: DeviceId
    reason: str
