"""Entropy that repeats itself from test to test, but not within one (`interfaces.Entropy`)."""

from __future__ import annotations

import hashlib


class CountedEntropy:
    def __init__(self, seed: bytes = b"") -> None:
        self._seed = seed
        self._count = 0

    def token(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(self._seed + self._count.to_bytes(8, "big")).digest(size)
