"""The real clock and the real randomness, as `interfaces.Clock` and `interfaces.Entropy`."""

from __future__ import annotations

import os
import time


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class SystemEntropy:
    def token(self, size: int) -> bytes:
        return os.urandom(size)
