"""Connection strings of hubs: `HostName=...;SharedAccessKeyName=...;SharedAccessKey=...`, as Azure's portal shows them.

Nothing of a string that can't be read is repeated in a refusal: it may hold the key.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.values import dataclass

MAX_CONNECTION_STRING_CHARS = 1024

HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*")
"""A DNS name, or an IPv4 address."""

_POLICY = re.compile(r"[\x21-\x3a\x3c-\x7e]{1,64}")
_MEMBERS = {
    "hostname": "HostName",
    "sharedaccesskeyname": "SharedAccessKeyName",
    "sharedaccesskey": "SharedAccessKey",
}
_HTTPS = 443


@dataclass(frozen=True, slots=True)
class HubConnection:
    """Where a hub is, and the policy that this service calls it by; `key` is decoded."""

    host: str
    port: int
    policy: str
    key: Secret

    @property
    def url(self) -> str:
        return f"https://{self.host}" if self.port == _HTTPS else f"https://{self.host}:{self.port}"


def read_connection(text: str) -> HubConnection:
    """Raises Malformed, naming the member that is missing or not of its form."""
    if len(text) > MAX_CONNECTION_STRING_CHARS:
        raise _malformed(f"has more than {MAX_CONNECTION_STRING_CHARS} characters")
    members: dict[str, str] = {}
    for part in text.strip().strip(";").split(";"):
        name, found, value = part.partition("=")
        key = _MEMBERS.get(name.strip().lower())
        if not found or key is None:
            raise _malformed(f"has a part that is none of {', '.join(_MEMBERS.values())}")
        if key in members:
            raise _malformed(f"has {key} twice")
        members[key] = value.strip()
    missing = [name for name in _MEMBERS.values() if not members.get(name)]
    if missing:
        raise _malformed(f"has no {' and no '.join(missing)}")
    host, port = _place(members["HostName"])
    if not _POLICY.fullmatch(members["SharedAccessKeyName"]):
        raise _malformed("has a SharedAccessKeyName that is no name of a policy")
    return HubConnection(host, port, members["SharedAccessKeyName"], _key(members["SharedAccessKey"]))


def _place(text: str) -> tuple[str, int]:
    host, colon, digits = text.partition(":")
    if not HOST_NAME.fullmatch(host):
        raise _malformed("has a HostName that is no host name")
    if not colon:
        return host, _HTTPS
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) < 65_536):
        raise _malformed("has a HostName with a port that is none")
    return host, int(digits)


def _key(text: str) -> Secret:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise _malformed("has a SharedAccessKey that is no base64")
    return Secret(key)


def is_host_name(text: str) -> bool:
    """Whether a hub may be called so: a DNS name or an address."""
    if HOST_NAME.fullmatch(text):
        return True
    try:
        return ipaddress.ip_address(text).version == 6 and "%" not in text
    except ValueError:
        return False


def _malformed(what: str) -> Malformed:
    return Malformed(
        f"connectionString {what}.",
        rule="hub-connection-string",
        hint="it is HostName=...;SharedAccessKeyName=...;SharedAccessKey=..., from the hub's shared access policies",
    )
