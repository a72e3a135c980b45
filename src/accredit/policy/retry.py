"""The one retry schedule: when to come back to somebody who can't answer now.

Delays grow exponentially up to a cap and are spread, so that a thousand devices that met the same outage do not
return in the same second. No clock and no randomness here: the jitter is a number, handed in. `Retry-After` is read
in both its forms (RFC 9110, section 10.2.3).
"""

from __future__ import annotations

import hashlib
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import ceil

from accredit.values import dataclass

MIN_RETRY_AFTER_S = 1
MAX_RETRY_AFTER_S = 300
"""What a peer's `Retry-After` is clamped to: neither a busy loop nor a device lost for a day."""

_MAX_RETRY_AFTER_CHARS = 64
_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """`spread` is the share of a delay that jitter may take away, 0 to 1."""

    base_s: float
    cap_s: float
    spread: float = 0.5

    def wait_s(self, attempt: int, jitter: float) -> int:
        """Whole seconds to wait after failed attempt number `attempt`, at least 1; `jitter` is within [0, 1]."""
        if not 0.0 <= jitter <= 1.0:
            raise ValueError("jitter is outside [0, 1]")
        doublings = min(max(attempt, 1) - 1, _DOUBLINGS)
        delay = min(self.cap_s, self.base_s * 2.0**doublings)
        return max(1, ceil(delay * (1.0 - self.spread * jitter)))


AUTHORITY_RETRY = RetrySchedule(base_s=2.0, cap_s=60.0)
"""For certificate authorities; the operation's own deadline ends it."""


WEBHOOK_RETRY = RetrySchedule(base_s=1.0, cap_s=10.0)
WEBHOOK_TRIES = 4
"""A webhook that is silent so often is given up: with its time limit, within a minute."""

HUB_RETRY = RetrySchedule(base_s=1.0, cap_s=300.0)
"""For linked hubs elsewhere."""

LOST_ORDER_LOOKS = RetrySchedule(base_s=60.0, cap_s=86_400.0)
"""How often a CA is asked for what an order has made whose answer was lost: within minutes at first, in the end daily."""

WITNESS_RETRY = RetrySchedule(base_s=1.0, cap_s=300.0)
"""For the issuance log's witness."""


def jitter_of(text: str) -> float:
    """A number in [0, 1) that is always the same for `text`: jitter for those who have no randomness at hand."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / float(1 << 48)


def retry_after_s(header: str | None, now: float) -> int | None:
    """The seconds that a `Retry-After` header asks for, clamped; None when it is absent or unreadable."""
    text = (header or "").strip()
    if not text or len(text) > _MAX_RETRY_AFTER_CHARS:
        return None
    if text.isascii() and text.isdigit():
        return _clamped(int(text))
    try:
        instant = parsedate_to_datetime(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        return _clamped(ceil(instant.timestamp() - now))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _clamped(seconds: int) -> int:
    return min(max(seconds, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)
