"""A clock that stands still until a test moves it (`interfaces.Clock`)."""

from __future__ import annotations


class HandClock:
    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.instant = now
        self.elapsed = 0.0

    def now(self) -> float:
        return self.instant

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.instant += seconds
        self.elapsed += seconds
