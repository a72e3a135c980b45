"""The plan of a run: who comes when, with which fault, and when all connections break. Pure: a seed makes it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from random import Random

from accredit.simulation.scenario import ARRIVING, STORMS_FROM, STORMS_UNTIL, Arrival, Scenario
from accredit.values import dataclass


class Fault(StrEnum):
    """What a device does wrong when it first comes; afterwards it does it right."""

    HALF_OPEN = "half-open"
    """It opens a connection, says nothing, and is gone."""
    VANISHES = "vanishes"
    """It asks for its certificate and loses power before the answer."""
    WRONG_KEY = "wrong-key"
    """It shows a token that another key signed."""
    LATE_CLOCK = "late-clock"
    """It shows a token that expired an hour ago."""
    BROKEN_CSR = "broken-csr"
    """The signature of its request is not that of its key."""


@dataclass(frozen=True, slots=True)
class Part:
    """One device's part; `seed` decides what it does within it."""

    number: int
    arrives_at_s: float
    fault: Fault | None
    seed: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds are from the start of the run."""

    parts: Sequence[Part]
    storms_at_s: Sequence[float]


def plan(scenario: Scenario) -> Plan:
    """The same for the same scenario, wherever it is run."""
    chance = Random(f"{scenario.seed}/plan")  # noqa: S311 - repeatable on purpose, and no secret
    arriving_s = scenario.duration_s * ARRIVING
    faulty = chance.sample(range(scenario.devices), round(scenario.devices * scenario.faults))
    kinds = list(Fault)
    faults = {number: kinds[place % len(kinds)] for place, number in enumerate(faulty)}
    parts = [
        Part(number, at_s, faults.get(number), f"{scenario.seed}/{number}")
        for number, at_s in enumerate(_arrivals(scenario, arriving_s, chance))
    ]
    storms = sorted(
        chance.uniform(STORMS_FROM, STORMS_UNTIL) * scenario.duration_s for _ in range(scenario.storms)
    )
    return Plan(parts, storms)


def _arrivals(scenario: Scenario, arriving_s: float, chance: Random) -> list[float]:
    match scenario.arrival:
        case Arrival.STEADY:
            return [arriving_s * number / scenario.devices for number in range(scenario.devices)]
        case Arrival.RANDOM:
            # The instants of a Poisson process, given how many there are.
            return sorted(chance.uniform(0, arriving_s) for _ in range(scenario.devices))
        case Arrival.BURST:
            return [0.0] * scenario.devices
