"""Bind: what makes the device and its credential good at its hub."""

from __future__ import annotations

from collections.abc import Mapping

from accredit.domain.receipts import Bound, Recorded
from accredit.interfaces import Hub


def bind(recorded: Recorded, hubs: Mapping[str, Hub], now: int, token: str) -> Bound:
    """`token` names a new hub identity's generation."""
    hub = hubs[recorded.issued.allocated.hub]
    return Bound(recorded, tuple(hub.bind(recorded.issued, now, token)))
