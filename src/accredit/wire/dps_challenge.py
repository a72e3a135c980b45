"""What a TPM device is answered over HTTPS until it has proven itself: 401, and the blob that its TPM must open."""

from __future__ import annotations

from base64 import b64encode

import msgspec

from accredit.wire.instants import iso


class _Challenge(msgspec.Struct, rename="camel"):
    error_code: int
    tracking_id: str
    message: str
    timestamp_utc: str
    authentication_key: str
    key_name: str


def challenge_body(code: int, blob: bytes, tracking_id: str, now: float) -> bytes:
    """An error body that carries the activation blob.

    Azure: the C SDK takes it for a challenge only if it has both of the last members and no `status`.
    """
    text = b64encode(blob).decode()
    return msgspec.json.encode(_Challenge(code, tracking_id, "Unauthorized", iso(now), text, "registration"))
