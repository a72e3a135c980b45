"""Connections that a load balancer passes on: its header is read first, and then they are their client's.

Only addresses that the operator lists are believed. From those the header is required, since a listed balancer that sends
none would lend its address to everybody; from all others no byte is read as one. The header has to be there soon, and
nothing of the connection exists before: what comes after it, TLS as a rule, sees the client's address where it would
see the balancer's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, cast

from accredit.observe import log
from accredit.wire import proxy_protocol
from accredit.wire.proxy_protocol import BadHeader, Header

HEADER_S = 5.0
"""How long a balancer may take to send its header; it sends it with the connection's first segment."""

MAX_PENDING = 1_024
"""Connections whose header is not there yet."""


class Proxies:
    """The networks that are believed, and the connections from them that are still to say whose they are."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network], header_s: float = HEADER_S) -> None:
        self.header_s = header_s
        self._networks = tuple(networks)
        self._pending: set[HeaderFirst] = set()

    def trusts(self, address: str) -> bool:
        """Whether this peer's header is required, and believed."""
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed.version == network.version and parsed in network for network in self._networks)

    def behind(self, inner: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A maker of protocols for accepted sockets: `inner`'s, once it is known whose the connection is."""
        return (lambda: HeaderFirst(inner, self)) if self._networks else inner

    def enter(self, connection: HeaderFirst) -> bool:
        if len(self._pending) >= MAX_PENDING:
            return False
        self._pending.add(connection)
        return True

    def leave(self, connection: HeaderFirst) -> None:
        self._pending.discard(connection)

    def abort(self) -> None:
        """Cut those that have not said yet whose they are."""
        for connection in list(self._pending):
            connection.abort()


class HeaderFirst(asyncio.Protocol):
    """An accepted socket until its header is read; then the socket is its inner protocol's."""

    def __init__(self, inner: Callable[[], asyncio.Protocol], proxies: Proxies) -> None:
        self._inner = inner
        self._proxies = proxies
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._proxies.trusts(self._peer()):
            self._hand_over(self._transport)
        elif self._proxies.enter(self):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._proxies.header_s, self._refuse, "it did not come in time")
        else:
            self._refuse("too many connections wait for theirs")

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._data += data
        try:
            header = proxy_protocol.read(self._data)
        except BadHeader as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._begin(self._transport, header)

    def _begin(self, transport: asyncio.Transport, header: Header) -> None:
        rest, self._data = self._data[header.size :], b""
        passed = transport if header.source is None else cast("asyncio.Transport", _Passed(transport, header))
        inner = self._hand_over(passed)
        if rest:
            inner.data_received(rest)

    def _hand_over(self, transport: asyncio.Transport) -> asyncio.Protocol:
        below = self._transport
        assert below is not None
        self._forget()
        inner = self._inner()
        below.set_protocol(inner)
        inner.connection_made(transport)
        return inner

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        self._forget()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._forget()

    def _refuse(self, reason: str) -> None:
        log.warning("proxy-header-refused", source=self._peer(), reason=reason)
        self.abort()

    def _forget(self) -> None:
        self._transport = None
        self._proxies.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _peer(self) -> str:
        address = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(address[0]) if address else ""


class _Passed:
    """The socket's transport, under the addresses that the balancer told; all else is the socket's own."""

    def __init__(self, below: asyncio.Transport, header: Header) -> None:
        self._below = below
        self._addresses = {"peername": header.source, "sockname": header.destination}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._addresses.get(name) or self._below.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
