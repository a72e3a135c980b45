"""When a certificate is best renewed: in a window of its own life, at an instant of its own.

As ACME's renewal information has it (RFC 9773): a window, and within it each certificate's place. The place comes from the
certificate's digest, so it is the same whoever computes it, and certificates that were issued in the same second (a fleet that
was switched on together) spread evenly over the window. Nothing here says that a device must.
"""

from __future__ import annotations

from accredit.domain.credential import IssuedChain, RenewalWindow

HARD_FLOOR_S = 3_600
"""The window closes at least this long before the end, for a certificate that lives long enough to have the choice."""

_SHORT_LIFE_S = 6 * HARD_FLOOR_S
_PLACES = 1 << 64


def renewal_window(issued: IssuedChain) -> RenewalWindow:
    """From two thirds of the certificate's life, when the same key gets another one, to five sixths of it."""
    life = issued.not_after - issued.not_before
    opens_at = issued.not_before + -(-life * 2 // 3)
    closes_at = issued.not_before + life * 5 // 6
    if life > _SHORT_LIFE_S:
        closes_at = min(closes_at, issued.not_after - HARD_FLOOR_S)
    closes_at = max(opens_at, closes_at)
    place = int.from_bytes(issued.sha256[:8], "big")
    return RenewalWindow(opens_at, closes_at, opens_at + (closes_at - opens_at) * place // _PLACES)
