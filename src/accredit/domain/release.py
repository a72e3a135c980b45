"""Devices that a hub elsewhere still has, although they were moved away: the outbox's entries."""

from __future__ import annotations

from dataclasses import dataclass

from accredit.domain.ids import DeviceId


@dataclass(frozen=True, slots=True)
class Release:
    """`hub` (its key) shall no longer have this device."""

    hub: str
    device_id: DeviceId
    created_at: int
