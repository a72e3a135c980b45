"""Device twins, wired: who serves them to devices, and by what the registry tells of changes."""

from __future__ import annotations

from accredit.config import Config
from accredit.fronts.mqtt_twin import TwinService
from accredit.hub.device_twins import DesiredChanges, DeviceTwins
from accredit.interfaces import Clock, Entropy, Store
from accredit.processes import Bus


def served(
    config: Config, store: Store, clock: Clock, entropy: Entropy, bus: Bus
) -> tuple[TwinService, DesiredChanges]:
    changes = DesiredChanges(store, bus)
    twins = DeviceTwins(store, clock, changes, tells_renewal=config.renewal_in_twin)
    return TwinService(twins, clock, entropy), changes
