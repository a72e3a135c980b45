"""GUIDs, as Azure writes its tracking and operation ids: version 4 UUIDs (RFC 9562, 5.4)."""

from __future__ import annotations


def guid(random: bytes) -> str:
    """The text of the one that these 16 random bytes make. By hand: `uuid.UUID` takes four times as long."""
    text = random.hex()
    variant = "89ab"[random[8] >> 4 & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
