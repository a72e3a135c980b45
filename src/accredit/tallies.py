"""What happened how often, and how long it took: counted on the path of every registration, so it must cost next to nothing.

Numbers of one process, since it started. Who shows them (`fronts/metrics.py`) reads them whenever it is asked; nothing
here knows a format. Labels come from closed lists, or from names that an operator gave; a `Count` is bounded all the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from accredit.values import dataclass

MOST_SERIES = 500
"""What is beyond is counted as `other`: no peer, and no slip, fills the memory with names."""

OTHER = "other"

STEPS = ("attest", "admit", "allocate", "settle", "issue", "bind", "complete", "answer", "place")
"""The steps of the ceremony that are timed; `place` hands it over to an operation."""

STEP_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
WHOLE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COMMIT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
UNITS_BOUNDS = (1, 2, 4, 8, 16, 32, 64)

Mark = tuple[str, float]
"""A step that is over, and when, in seconds of a monotonic clock."""


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One register call as it went: `marks` are its steps in order, `began` and `ended` of the same clock; `rule` is the
    one that a refusal names, else empty."""

    wire: str
    outcome: str
    rule: str
    tracking_id: str
    registration_id: str
    source: str
    marks: Sequence[Mark]
    began: float
    ended: float


class Count:
    """A number for each set of labels."""

    __slots__ = ("by",)

    def __init__(self) -> None:
        self.by: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str) -> None:
        known = self.by.get(labels)
        if known is not None:
            self.by[labels] = known + 1
        elif len(self.by) < MOST_SERIES:
            self.by[labels] = 1
        else:
            others = (OTHER,) * len(labels)
            self.by[others] = self.by.get(others, 0) + 1


class Histogram:
    """How many values were at most so large; `bounds` rise, and what is above the last one has a place of its own."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class CommitTallies:
    """Of a store: units of work in a commit, and seconds from its first statement until it was durable."""

    __slots__ = ("seconds", "units")

    def __init__(self) -> None:
        self.units = Histogram(UNITS_BOUNDS)
        self.seconds = Histogram(COMMIT_BOUNDS_S)

    def committed(self, units: int, seconds: float) -> None:
        self.units.observe(units)
        self.seconds.observe(seconds)


class Tallies:
    """Of provisioning. `registrations` are by wire and outcome, `refusals` by rule, `orders` by authority and outcome, `operations` by outcome."""

    def __init__(self) -> None:
        self.registrations = Count()
        self.refusals = Count()
        self.orders = Count()
        self.operations = Count()
        self.whole: dict[str, Histogram] = {}
        self.steps = {step: Histogram(STEP_BOUNDS_S) for step in STEPS}

    def timed(self, call: TimedCall) -> None:
        """Its duration, and those of its steps, the first of which began with it."""
        whole = self.whole.get(call.wire)
        if whole is None:
            whole = self.whole[call.wire] = Histogram(WHOLE_BOUNDS_S)
        whole.observe(call.ended - call.began)
        before = call.began
        for step, at in call.marks:
            self.steps[step].observe(at - before)
            before = at
