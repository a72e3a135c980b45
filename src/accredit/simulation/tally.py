"""What came of a run: how often each thing happened, how long it took, and what should not have been."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

_ORDER = (
    "provisioned",
    "connected to the hub",
    "telemetry acknowledged",
    "renewed",
    "storms",
    "back after a storm",
    "told to come back later",
    "lost its connection",
    "did wrong",
    "refused, as it should be",
    "certificates compared",
)
"""As a device meets them."""

MAX_COMPLAINTS = 20
"""Kept with their texts; the others are counted."""


class Tally:
    """Counts by what happened, seconds by what was waited for."""

    def __init__(self) -> None:
        self.happened: Counter[str] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.complaints: list[str] = []
        self.complained = 0

    def took(self, what: str, seconds: float) -> None:
        self.happened[what] += 1
        self.seconds[what].append(seconds)

    def complain(self, text: str) -> None:
        self.complained += 1
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(text)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each thing, with its percentiles in milliseconds where it was waited for."""
        return [
            {
                "what": what,
                "count": count,
                "p50Ms": _percentile(self.seconds.get(what), 0.50),
                "p99Ms": _percentile(self.seconds.get(what), 0.99),
                "maxMs": _percentile(self.seconds.get(what), 1.0),
            }
            for what, count in sorted(self.happened.items(), key=_place)
        ]


def _place(happened: tuple[str, int]) -> tuple[int, str]:
    what = happened[0]
    kind = what.partition(":")[0]
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER)), what


def _percentile(seconds: list[float] | None, share: float) -> float | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 1)
