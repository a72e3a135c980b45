"""What a simulated fleet does: how many devices, how they arrive, what goes wrong."""

from __future__ import annotations

from enum import StrEnum

from accredit.values import dataclass


class Arrival(StrEnum):
    """How the devices come for the first time, within the first `ARRIVING` of the run."""

    STEADY = "steady"
    """One after the other, evenly: a production line."""
    RANDOM = "random"
    """Each at an instant of its own choice, whatever the others do (a Poisson process): devices in the field."""
    BURST = "burst"
    """All at once: power has come back."""


ARRIVING = 0.5
"""The part of the run in which devices arrive."""

STORMS_FROM, STORMS_UNTIL = 0.55, 0.9
"""The part of the run in which reconnect storms begin."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Seconds, but for `faults`: the share of the devices that do something wrong before they do it right.

    `renew_every_s` and `telemetry_every_s` are means; 0 is never. The same scenario makes the same plan.
    """

    devices: int
    duration_s: float
    arrival: Arrival = Arrival.RANDOM
    seed: int = 1
    storms: int = 0
    renew_every_s: float = 0.0
    telemetry_every_s: float = 5.0
    faults: float = 0.0
