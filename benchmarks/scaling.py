"""How much a fleet of a size needs: a model over the measured costs, for docs/scaling.md (`make bench` prints it too).

The costs are those of the newest run; what is assumed of the fleet and of a node stands here by name.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DAY_S = 86_400

# The fleet.
RENEW_AT = 2 / 3
"""Of a certificate's life."""
RECONNECTS_PER_DAY = 2
MESSAGES_PER_HOUR = 12
REPLACED_PER_YEAR = 0.2
"""The part of the fleet that is new each year, and provisions for the first time."""
BACK_WITHIN_S = 300
"""In which all devices are back after all connections broke."""

# A node.
CORES = 4
BUSY = 0.5
"""The part of its cores that may be busy when all is well."""
MEMORY_GB = 8.0
"""For connections."""

# What is written for one certificate: itself, its leaf, the leaf's place, a node of the tree, registration, identity, count of ends.
ROWS_PER_CERTIFICATE = 7
STREAM_REPLICAS = 3
CRL_SHARDS = 16
CRLS_PER_DAY = 2
TREE_HEADS_PER_S = 2

SIZES = (10_000, 1_000_000, 10_000_000)
LIVES_DAYS = (90, 7)


@dataclass(frozen=True, slots=True)
class Costs:
    """Microseconds of CPU, and kilobytes of memory: what one of each costs."""

    certificate_us: float
    connect_us: float
    message_us: float
    database_us: float
    stream_us: float
    connection_kb: float

    @classmethod
    def measured(cls, result: dict[str, Any]) -> Costs:
        """Of one run's record; a renewal is taken to cost what a provisioning does, handshake and all."""
        return cls(
            certificate_us=statistics.median(result["scaledOut"]["workers_us"]["1"]),
            connect_us=result["connectUs"]["median"],
            message_us=result["messageUs"]["median"],
            database_us=result["scaledOut"]["database_us"],
            stream_us=result["scaledOut"]["message_us"],
            connection_kb=result["idle"]["per_connection_kib"] * 1.024,
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """Rates are per second, on average; `nodes` is what the scarcest of its resources asks for, which `scarce` names."""

    certificates: float
    connects: float
    messages: float
    rows: float
    signatures: float
    busy_cores: float
    database_cores: float
    stream_cores: float
    memory_gb: float
    storm_cores: float
    nodes: int
    scarce: str


def needs(devices: int, life_days: float, costs: Costs) -> Needs:
    """Of a fleet whose certificates live so long."""
    renewals = devices / (life_days * RENEW_AT * DAY_S)
    certificates = renewals + devices * REPLACED_PER_YEAR / (365 * DAY_S)
    connects = devices * RECONNECTS_PER_DAY / DAY_S
    messages = devices * MESSAGES_PER_HOUR / 3_600
    busy = (
        certificates * costs.certificate_us + connects * costs.connect_us + messages * costs.message_us
    ) / 1e6
    memory_gb = devices * costs.connection_kb / 1e6
    storm = devices / BACK_WITHIN_S * costs.connect_us / 1e6
    asks = {
        "CPU": busy / (CORES * BUSY),
        "memory for connections": memory_gb / MEMORY_GB,
        f"everybody back within {BACK_WITHIN_S // 60} minutes": storm / CORES,
    }
    scarce = max(asks, key=lambda what: asks[what])
    return Needs(
        certificates=certificates,
        connects=connects,
        messages=messages,
        rows=certificates * ROWS_PER_CERTIFICATE,
        signatures=certificates + TREE_HEADS_PER_S + CRL_SHARDS * CRLS_PER_DAY / DAY_S,
        busy_cores=busy,
        database_cores=certificates * costs.database_us / 1e6,
        stream_cores=messages * STREAM_REPLICAS * costs.stream_us / 1e6,
        memory_gb=memory_gb,
        storm_cores=storm,
        nodes=math.ceil(asks[scarce]),
        scarce=scarce,
    )


def table(costs: Costs) -> Sequence[tuple[str, ...]]:
    """Rows of text: a heading, then one for each need, with a column for each fleet."""
    fleets = [(devices, life) for devices in SIZES for life in LIVES_DAYS]
    all_needs = [needs(devices, life, costs) for devices, life in fleets]
    heading = ("", *(f"{_short(devices)}, {life} days" for devices, life in fleets))
    rows = [
        ("certificates per second", [_figure(each.certificates) for each in all_needs]),
        ("rows written to the database per second", [_figure(each.rows) for each in all_needs]),
        (
            "CA signatures per second, heads and CRLs included",
            [_figure(each.signatures) for each in all_needs],
        ),
        ("hub connections per second", [_figure(each.connects) for each in all_needs]),
        ("messages per second, into NATS", [_figure(each.messages) for each in all_needs]),
        ("busy cores of the service", [_figure(each.busy_cores) for each in all_needs]),
        ("busy cores of the database", [_figure(each.database_cores) for each in all_needs]),
        (
            f"busy cores of NATS, {STREAM_REPLICAS} replicas",
            [_figure(each.stream_cores) for each in all_needs],
        ),
        ("memory for connections", [f"{_figure(each.memory_gb)} GB" for each in all_needs]),
        ("cores while everybody comes back", [_figure(each.storm_cores) for each in all_needs]),
        (f"nodes of {CORES} cores and {MEMORY_GB:.0f} GB", [str(each.nodes) for each in all_needs]),
        ("what asks for them", [each.scarce for each in all_needs]),
    ]
    return [heading, *((what, *figures) for what, figures in rows)]


def as_markdown(result: dict[str, Any]) -> str:
    """For the page, of one run's record."""
    heading, *rows = table(Costs.measured(result))
    lines = ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _short(devices: int) -> str:
    return f"{devices // 1_000_000} M" if devices >= 1_000_000 else f"{devices // 1_000} k"


def _figure(value: float) -> str:
    """Two significant digits."""
    if value >= 100:
        return f"{round(value, 1 - math.floor(math.log10(value))):,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
