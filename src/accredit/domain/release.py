"""Devices that a hub elsewhere still has, although they were moved away: the outbox's entries."""

from __future__ import annotations

from accredit.domain.ids import DeviceId
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """`hub` (its key) shall no longer have this device."""

    hub: str
    device_id: DeviceId
    created_at: int
