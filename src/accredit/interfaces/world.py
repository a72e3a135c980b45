"""Time and randomness, handed in."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, handed in. `now` is Unix time in seconds, `monotonic` seconds from an arbitrary start."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class Entropy(Protocol):
    """Randomness, handed in."""

    def token(self, size: int) -> bytes:
        """`size` bytes from a cryptographically secure source."""
        ...
