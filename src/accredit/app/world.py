"""The real clock and the real randomness, as `interfaces.Clock` and `interfaces.Entropy`."""

from __future__ import annotations

import os
import time

_BLOCK = 4_096
_LONGEST_CUT = 24


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class FreshEntropy:
    """The operating system's generator, asked each time: for what goes on in several threads."""

    def token(self, size: int) -> bytes:
        return os.urandom(size)


class SystemEntropy:
    """The operating system's generator. Short tokens are cut from a block of it: a system call each would cost more
    than all else that names do; keys, which are longer, are drawn one by one.
    """

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def token(self, size: int) -> bytes:
        if size > _LONGEST_CUT:
            return os.urandom(size)
        at = self._at
        if at + size > len(self._block):
            self._block = os.urandom(_BLOCK)
            at = 0
        self._at = at + size
        return self._block[at : at + size]
