"""Instants in documents: Unix seconds as Azure writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from math import floor


def iso(instant: float) -> str:
    """A Unix instant as Azure writes it: UTC, seven fraction digits, `Z`."""
    whole = floor(instant)
    return f"{_second(whole)}.{int((instant - whole) * 10_000_000):07d}Z"


@lru_cache(maxsize=128)
def _second(whole: int) -> str:
    # An answer tells several instants, and most are the present second.
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]
