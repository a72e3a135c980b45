"""Where the service itself may connect to: the one rule for outbound addresses, and its allow list.

For certificate authorities and hubs, https goes to any address but link-local; plain http and loopback only where
listed. Webhooks are closed in: https only, and nothing that is not a public address unless it is listed. A name is judged by the addresses
that it resolves to, so the question is always about one address. Pure: who resolves and connects is `egress.py`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from accredit.config import BadSetting
from accredit.values import replace

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_URL_CHARS = 4096
_MAX_PORT = 65_535
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,252})")
_URL = re.compile(r"[\x21-\x7e]+")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out as public addresses (RFC 4291, 2.4): beside it stand forms that carry an IPv4 address."""


class BadDestination(ValueError):
    """The URL is not one that can be called; the text says why and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Destination:
    scheme: str
    host: str
    port: int


def destination(url: str) -> Destination:
    """Scheme, host (lower case, without a final dot) and port of a URL that may be called; raises BadDestination."""
    if len(url) > _MAX_URL_CHARS or not _URL.fullmatch(url):
        raise BadDestination("the URL is too long or has characters that a URL can't have")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip(".").lower(), parts.port
    except ValueError:
        raise BadDestination("the URL can't be read") from None
    if parts.scheme not in {"http", "https"} or not host or port == 0 or parts.username is not None:
        raise BadDestination("the URL is not https:// or http:// with a host and without a user")
    return Destination(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))


@dataclass(frozen=True, slots=True)
class _Listed:
    """One entry of the allow list: a host name or a range of addresses, at one port or at every port."""

    host: str | None
    network: Network | None
    port: int | None
    plain_beyond_loopback: bool = True

    def covers(self, host: str, port: int, address: Address) -> bool:
        if self.port is not None and self.port != port:
            return False
        return address in self.network if self.network is not None else host == self.host


@dataclass(frozen=True, slots=True)
class EgressRules:
    """https to any address but link-local; plain http and loopback only where `allow` lists them.

    `allow` holds hosts, `host:port` or CIDR ranges; the host of `digicert_url` counts as listed, for plain http on
    loopback only. `public_only` is the rule for webhooks. Raises BadSetting.
    """

    allow: tuple[str, ...] = ()
    digicert_url: str = ""
    public_only: bool = False
    _listed: tuple[_Listed, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        listed = [_entry(text) for text in self.allow]
        if self.digicert_url:
            listed.append(_url_entry(self.digicert_url))
        object.__setattr__(self, "_listed", tuple(listed))

    def objection(self, *, plain: bool, host: str, port: int, address: Address) -> str | None:
        """Why this address may not be connected to; None when it may."""
        address = _unwrapped(address)
        if self.public_only:
            return self._unless_public(plain=plain, host=host, port=port, address=address)
        if address.is_link_local:
            return "a link-local address, which is never connected to"
        if (
            address.is_multicast
            or address in _THIS_NETWORK
            or (address.is_reserved and not address.is_loopback)
        ):
            return "an address that names no single host"
        listed = [entry for entry in self._listed if entry.covers(host, port, address)]
        if address.is_loopback and not listed:
            return "a loopback address, which ACCREDIT_EGRESS_ALLOW does not list"
        if plain and not any(entry.plain_beyond_loopback or address.is_loopback for entry in listed):
            return "to be reached by plain http, for which ACCREDIT_EGRESS_ALLOW does not list it"
        return None

    def _unless_public(self, *, plain: bool, host: str, port: int, address: Address) -> str | None:
        if plain:
            return "to be reached by plain http, which a webhook can't be"
        if address.is_multicast or address in _THIS_NETWORK:
            return "an address that names no single host"
        public = address.is_global and (address.version == 4 or address in _GLOBAL_UNICAST)
        if not public and not any(entry.covers(host, port, address) for entry in self._listed):
            return "no public address, and ACCREDIT_EGRESS_ALLOW does not list it"
        return None


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped, 6to4 or NAT64 one (RFC 4291, RFC 3056, RFC 6052): rules about it must hold."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return inner
        if address in _NAT64:
            return ipaddress.IPv4Address(address.packed[12:])
    return address


def _entry(text: str) -> _Listed:
    """Parse one entry of ACCREDIT_EGRESS_ALLOW."""
    entry = text.strip().lower()
    if "/" in entry and "://" not in entry:
        try:
            return _Listed(None, ipaddress.ip_network(entry), None)
        except ValueError as error:
            raise _bad_entry(text, f"is not a CIDR range ({error})") from None
    whole = _listed(entry, None)
    if whole is not None:
        return whole
    host, _, digits = entry.rpartition(":")
    if not (host and digits.isascii() and digits.isdigit() and 1 <= int(digits[:6]) <= _MAX_PORT):
        raise _bad_entry(text, "is not a host, or does not end in a port from 1 to 65535")
    part = _listed(host, int(digits))
    if part is None:
        raise _bad_entry(text, "has no host name")
    return part


def _listed(host: str, port: int | None) -> _Listed | None:
    """The entry for a name or for one address; None when it is neither."""
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return _Listed(None, ipaddress.ip_network(literal), port)
    except ValueError:
        name = host.removesuffix(".")
        return _Listed(name, None, port) if _HOST.fullmatch(name) else None


def _bad_entry(text: str, what: str) -> BadSetting:
    return BadSetting(
        f"ACCREDIT_EGRESS_ALLOW has {text[:100]!r}, which {what}; "
        "allowed are a host, host:port, or a CIDR range such as 10.0.0.0/8, separated by commas."
    )


def _url_entry(url: str) -> _Listed:
    """The entry that ACCREDIT_DIGICERT_URL makes by itself."""
    try:
        target = destination(url)
    except BadDestination as error:
        raise _bad_url(str(error)) from None
    if "?" in url or "#" in url:
        raise _bad_url("it has a query or a fragment")
    entry = _listed(target.host, target.port)
    if entry is None:
        raise _bad_url("it has no host name")
    if target.scheme == "http" and entry.network is not None and not entry.network.is_loopback:
        raise _bad_url("plain http is for loopback addresses only")
    return replace(entry, plain_beyond_loopback=False)


def _bad_url(what: str) -> BadSetting:
    return BadSetting(
        f"ACCREDIT_DIGICERT_URL can't be used: {what}; "
        "allowed is https://host or https://host:port, and http:// for a loopback address."
    )
