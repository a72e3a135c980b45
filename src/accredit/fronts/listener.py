"""Listening sockets: bound with a clear word when that fails, accepted under one ceiling, drained in order.

One `Listener` per port serves whatever front it is given over `fronts/tls.py`. Sockets are bound before anything is
served, so that a port that cannot be had is told at start and a parent process can hand bound sockets down.
SO_REUSEADDR is set, so that a restart need not wait for old connections to be forgotten; SO_REUSEPORT never, since
with it a second service would bind silently and steal connections.

This file knows no protocol and reads no byte.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

from OpenSSL import SSL

from accredit.fronts.handshakes import Handshakes
from accredit.fronts.proxied import Proxies
from accredit.fronts.sources import Sources
from accredit.fronts.tls import TLSLimits, TLSTransport
from accredit.observe import log

LOOPBACK = ("127.0.0.1", "::1")

BACKLOG = 1024

_EPHEMERAL_TRIES = 20
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class CannotListen(Exception):
    """A port can't be had; the text is one sentence with the reason and the remedies. `port` is the one asked for."""

    def __init__(self, message: str, port: int) -> None:
        super().__init__(message)
        self.port = port


class PortBusy(CannotListen):
    """Somebody else listens there, maybe another service of ours."""


class PortForbidden(CannotListen):
    """Ports below 1024 need a privilege that this process does not have."""


def bind(hosts: Sequence[str], port: int, option: str) -> list[socket.socket]:
    """Listening sockets on each host at one port; 0 picks a free one, the same for all.

    `option` is the command-line option that moves the port, for the message. IPv6 loopback is left out where the
    machine has none, as long as another host remains. Raises CannotListen.
    """
    for attempt in range(_EPHEMERAL_TRIES):
        sockets: list[socket.socket] = []
        try:
            for host in hosts:
                chosen = port or (sockets[0].getsockname()[1] if sockets else 0)
                sockets.extend(_listening(host, chosen, optional=host == "::1" and len(hosts) > 1))
        except OSError as error:
            for each in sockets:
                each.close()
            # A free port on the first host may be taken on the next.
            if port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < _EPHEMERAL_TRIES:
                continue
            raise _explained(error, ", ".join(hosts), port, option) from error
        return sockets
    raise AssertionError("the last attempt returns or raises")


def _listening(host: str, port: int, *, optional: bool) -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if optional and error.errno in _ABSENT:
            return []
        raise
    try:
        listening.setblocking(False)  # noqa: FBT003 - the standard library's signature
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit these from the one that listens, which saves two system calls each.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        # With SO_REUSEADDR two sockets may be bound to one port until the first of them listens.
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if optional and error.errno in _ABSENT:
            return []
        raise
    return [listening]


def _explained(error: OSError, hosts: str, port: int, option: str) -> CannotListen:
    where = f"Port {port} on {hosts}"
    if error.errno == errno.EADDRINUSE:
        return PortBusy(
            f"{where} is in use by another process: stop it (`ss -ltnp 'sport = :{port}'` shows which), "
            f"or choose another port with {option}.",
            port,
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortForbidden(
            f"{where} needs a privilege that this process does not have: choose a port from 1024 up with {option}, "
            f"or allow it with `sysctl net.ipv4.ip_unprivileged_port_start={port}` or CAP_NET_BIND_SERVICE.",
            port,
        )
    return CannotListen(
        f"{where} cannot be listened on ({error.strerror or error}): check the address given with --bind, "
        f"or the port given with {option}.",
        port,
    )


class Ceiling:
    """How many connections may be open, over all listeners that share it."""

    def __init__(self, connections: int, sources: Sources | None = None) -> None:
        """`sources` bounds what one address may have of it."""
        self.connections = connections
        self.sources = sources
        self.open = 0
        self.refused = 0
        self._told = False

    def enter(self, address: str = "") -> bool:
        if self.open >= self.connections:
            self.refused += 1
            if not self._told:
                # Once until there is room again: a flood must not become a flood of lines.
                self._told = True
                log.warning("connections-at-ceiling", ceiling=self.connections)
            return False
        if self.sources is not None and not self.sources.enter(address):
            return False
        self.open += 1
        return True

    def leave(self, address: str = "") -> None:
        self.open -= 1
        if self.sources is not None:
            self.sources.leave(address)
        self._told = False


class Listener:
    """One port: its sockets, its front, its open connections."""

    def __init__(
        self,
        name: str,
        sockets: Sequence[socket.socket],
        context: Callable[[], SSL.Context],
        front: Callable[[], asyncio.BaseProtocol],
        *,
        ceiling: Ceiling,
        limits: TLSLimits | None = None,
        proxies: Proxies | None = None,
        handshakes: Handshakes | None = None,
    ) -> None:
        """`context` is asked at each handshake, so that a renewed certificate needs no restart; `front` makes a front.

        `proxies` are load balancers, which tell whose a connection is. Listeners that share `handshakes` take turns.
        """
        self.name = name
        self.ceiling = ceiling
        self.accepted = 0
        self.established = 0
        """Connections whose handshake was completed."""
        self._sockets = list(sockets)
        self._context = context
        self._front = front
        self._limits = limits if limits is not None else TLSLimits()
        self._proxies = proxies if proxies is not None else Proxies(())
        self._servers: list[asyncio.Server] = []
        self._handshakes = handshakes if handshakes is not None else Handshakes()
        self._open: dict[TLSTransport, str] = {}
        self._emptied = asyncio.Event()

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        return len(self._open)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        accept = self._proxies.behind(self._connection)
        for each in self._sockets:
            self._servers.append(await loop.create_server(accept, sock=each, backlog=BACKLOG))

    def _connection(self) -> asyncio.Protocol:
        return TLSTransport(
            self._context, self._greeted, self._limits, self._opened, self._closed, self._handshakes
        )

    def _greeted(self) -> asyncio.BaseProtocol:
        self.established += 1
        return self._front()

    def _opened(self, connection: TLSTransport) -> bool:
        address = str((connection.get_extra_info("peername") or ("",))[0])
        if not self.ceiling.enter(address):
            return False
        self.accepted += 1
        self._open[connection] = address
        return True

    def _closed(self, connection: TLSTransport) -> None:
        address = self._open.pop(connection, None)
        if address is not None:
            self.ceiling.leave(address)
            if not self._open:
                self._emptied.set()

    async def drain(self, deadline_s: float) -> None:
        """Stop accepting, ask each front to finish, and after `deadline_s` seconds cut those that have not."""
        for server in self._servers:
            server.close()
        self._proxies.abort()
        for connection in list(self._open):
            connection.drain()
        if not await self._empty(deadline_s):
            log.warning("connections-cut", listener=self.name, count=len(self._open))
            for connection in list(self._open):
                connection.abort()
            await self._empty(1.0)
        for server in self._servers:
            await server.wait_closed()
        for each in self._sockets:
            each.close()

    async def _empty(self, within_s: float) -> bool:
        while self._open:
            self._emptied.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._emptied.wait()
            except TimeoutError:
                return not self._open
        return True
