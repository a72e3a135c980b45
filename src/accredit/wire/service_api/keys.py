"""Symmetric keys in documents: base64 of 16 to 64 bytes (DPS's rule for enrollments, ours for policies too)."""

from __future__ import annotations

import base64
import binascii

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret

MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 64


def read_key(text: str | None, member: str) -> Secret | None:
    """The decoded key, None where none was sent; `member` names the field in refusals."""
    if not text:
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise Malformed(
            f"{member} is not the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes.", rule="key-size"
        )
    return Secret(key)


def key_text(key: Secret) -> str:
    """As answers show a key, where they do."""
    return base64.b64encode(key.reveal()).decode()
