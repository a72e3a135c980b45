"""The PROXY protocol, version 2: a load balancer's word on whose connection it passes on.

A header of fixed form stands before the connection's first byte. Both ends are here: reading one, and writing one.
What it carries beside addresses (type-length-values) is passed over. Whom to believe is not decided here.

Specification: *The PROXY protocol, versions 1 & 2*, section 2.2 (HAProxy, doc/proxy-protocol.txt).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from accredit.values import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_BYTES = 2_048
"""Longest header that is read; balancers send some hundred bytes at most."""

_HEAD = struct.Struct(">12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_BLOCKS = {_TCP4: struct.Struct(">4s4sHH"), _TCP6: struct.Struct(">16s16sHH")}
_OTHER_BLOCKS = {0x00: 0, 0x12: 12, 0x22: 36, 0x31: 216, 0x32: 216}
"""Unspecified, datagrams and Unix sockets, with the octets of their addresses: valid, but not where our peers come from."""

Endpoint = tuple[str, int]
"""An address as text, an IPv4 one in its own form, and a port."""


class BadHeader(ValueError):
    """The data begins with no header that can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """`size` is how many bytes it took. `source` and `destination` are None where the connection is the balancer's own, or of a
    kind that has no such addresses: then the connection's own addresses count."""

    size: int
    source: Endpoint | None = None
    destination: Endpoint | None = None


def read(data: bytes) -> Header | None:
    """The header that the data begins with; None while more of it is to come. Raises BadHeader for what is none."""
    head = data[: len(SIGNATURE)]
    if head != SIGNATURE[: len(head)]:
        raise BadHeader("it does not begin with the signature of version 2")
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    size = _HEAD.size + length
    if command not in (_LOCAL, _PROXY):
        raise BadHeader(f"its version and command are {command:#04x}")
    if size > MAX_BYTES:
        raise BadHeader(f"it is longer than {MAX_BYTES} bytes")
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Header(size)
    return _proxied(data, family, size)


def _proxied(data: bytes, family: int, size: int) -> Header:
    block = _BLOCKS.get(family)
    needed = _OTHER_BLOCKS.get(family) if block is None else block.size
    if needed is None:
        raise BadHeader(f"its address family is {family:#04x}")
    if size < _HEAD.size + needed:
        raise BadHeader("it is too short for its addresses")
    if block is None:
        return Header(size)
    source, destination, source_port, destination_port = block.unpack_from(data, _HEAD.size)
    return Header(size, (_text(source), source_port), (_text(destination), destination_port))


def _text(packed: bytes) -> str:
    """As a socket would tell it, but an IPv4 address inside an IPv6 one (RFC 4291, 2.5.5.2) as what it is."""
    address = ip_address(packed)
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(inner or address)


def local() -> bytes:
    """The header of a connection of the balancer's own, such as a health check."""
    return _HEAD.pack(SIGNATURE, _LOCAL, 0, 0)


def proxied(source: Endpoint, destination: Endpoint, extra: bytes = b"") -> bytes:
    """The header of a connection that is passed on; both addresses are of one family. `extra` are type-length-values."""
    from_, to = ip_address(source[0]), ip_address(destination[0])
    family = _TCP4 if isinstance(from_, IPv4Address) else _TCP6
    block = _BLOCKS[family].pack(from_.packed, to.packed, source[1], destination[1])
    return _HEAD.pack(SIGNATURE, _PROXY, family, len(block) + len(extra)) + block + extra
