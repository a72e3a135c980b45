"""Fresh names: operation ids, etags, generations. All URL-safe; operation ids have the form DPS's have."""

from __future__ import annotations

from accredit.domain.guid import guid
from accredit.interfaces import Entropy


def operation_id(entropy: Entropy) -> str:
    """`4.<16 hex>.<guid>` (Azure: the form the live service uses)."""
    raw = entropy.token(24)
    return f"4.{raw[:8].hex()}.{guid(raw[8:])}"


def etag(entropy: Entropy) -> str:
    return entropy.token(8).hex()
