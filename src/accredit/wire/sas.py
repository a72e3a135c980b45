"""SharedAccessSignature tokens: split and made, of devices and of service callers alike.

    SharedAccessSignature sr={resource}&sig={signature}&se={expiry}[&skn={policy}]

The fields come in any order. Clients differ in how they percent-encode the resource, some not at all, and sign it as they
wrote it: so the text that the signature covers keeps `sr` as it appeared, and only what is compared is decoded. Not here:
whether a signature, an instant or a resource is good (`policy/`).

Azure IoT Hub and DPS, "Control access with shared access signatures".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import quote, unquote

from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import SasToken

MAX_TOKEN_CHARS = 4096

_SCHEME = "sharedaccesssignature "
_MAX_EXPIRY_DIGITS = 12
_MILLISECONDS_DIGITS = 13
_FIELDS = frozenset(("sr", "sig", "se", "skn"))


def parse(text: str) -> SasToken:
    """Split a token. Raises Unauthenticated (`sas-malformed`); `se` in anything but whole seconds is malformed.

    Unknown fields are passed over; `skn` may be absent or empty.
    """
    if len(text) > MAX_TOKEN_CHARS:
        raise _malformed("is too long")
    if text[: len(_SCHEME)].lower() != _SCHEME:
        raise _malformed("does not begin as one")
    fields = _split(text[len(_SCHEME) :].strip())
    resource = fields.get("sr")
    expiry = fields.get("se", "")
    if not resource:
        raise _malformed("has no sr")
    if not (expiry.isascii() and expiry.isdigit() and len(expiry) <= _MAX_EXPIRY_DIGITS):
        milliseconds = expiry.isascii() and expiry.isdigit() and len(expiry) == _MILLISECONDS_DIGITS
        raise _malformed("has no se in whole seconds" + (", but in milliseconds" if milliseconds else ""))
    return SasToken(
        resource=_decoded(resource),
        signed_text=f"{resource}\n{expiry}".encode(),
        signature=_signature(fields.get("sig", "")),
        expires_at=int(expiry),
        policy=_decoded(fields.get("skn", "")) or None,
    )


def make(resource: str, key: bytes, expires_at: int, policy: str | None = None) -> str:
    """A token over `resource`, signed with the decoded `key`, good until `expires_at` (Unix seconds)."""
    encoded = quote(resource, safe="")
    digest = hmac.digest(key, f"{encoded}\n{expires_at}".encode(), hashlib.sha256)
    signature = quote(base64.b64encode(digest).decode(), safe="")
    token = f"SharedAccessSignature sr={encoded}&sig={signature}&se={expires_at}"
    return token if policy is None else f"{token}&skn={quote(policy, safe='')}"


def _split(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name in fields and name in _FIELDS:
            raise _malformed(f"has {name} twice")
        fields[name] = value
    return fields


def _decoded(value: str) -> str:
    if "%" not in value:
        return value
    # The escapes that tokens are full of, undone at a third of the price; any other is left to `unquote`.
    quick = value.replace("%2F", "/").replace("%3D", "=").replace("%2B", "+")
    if "%" not in quick:
        return quick
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise _malformed("is not UTF-8 when decoded") from None


def _signature(value: str) -> bytes:
    try:
        signature = binascii.a2b_base64(_decoded(value).encode(), strict_mode=True)
    except binascii.Error:
        raise _malformed("has a sig that is not base64") from None
    if not signature:
        raise _malformed("has no sig")
    return signature


def _malformed(what: str) -> Unauthenticated:
    return Unauthenticated(f"The shared access signature {what}.", rule="sas-malformed")
