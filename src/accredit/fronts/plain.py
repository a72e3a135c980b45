"""A listener without TLS, for what is public: the connections of `fronts/http_connection.py` over plain sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from socket import socket
from typing import Any, cast

from accredit.fronts.listener import BACKLOG, Ceiling
from accredit.fronts.proxied import Proxies


class PlainTransport(asyncio.Transport):
    """A socket's transport with the one thing more that our connections ask of theirs."""

    def __init__(self, below: asyncio.Transport) -> None:
        super().__init__()
        self._below = below

    def linger(self) -> None:
        """End the connection once what was written is out."""
        self._below.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return () if name == "peer_chain" else self._below.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._below.write(data)

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        self._below.abort()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)


class _Connection(asyncio.Protocol):
    """One accepted socket under the ceiling, and the front that it is for."""

    def __init__(self, listener: PlainListener) -> None:
        self._listener = listener
        self._front: asyncio.Protocol | None = None
        self.source = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        below = cast("asyncio.Transport", transport)
        address = below.get_extra_info("peername")
        self.source = address[0] if address else ""
        if not self._listener.enter(self):
            below.abort()
            return
        self._front = cast("asyncio.Protocol", self._listener.front())
        self._front.connection_made(PlainTransport(below))

    def data_received(self, data: bytes) -> None:
        if self._front is not None:
            self._front.data_received(data)

    def eof_received(self) -> bool | None:
        return self._front.eof_received() if self._front is not None else None

    def pause_writing(self) -> None:
        if self._front is not None:
            self._front.pause_writing()

    def resume_writing(self) -> None:
        if self._front is not None:
            self._front.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        front, self._front = self._front, None
        if front is not None:
            front.connection_lost(exc)
            self._listener.leave(self)

    def drain(self) -> None:
        drain = getattr(self._front, "drain", None)
        if drain is not None:
            drain()


class PlainListener:
    """One plain port. `front` makes the protocol of a connection."""

    def __init__(
        self,
        name: str,
        sockets: Sequence[socket],
        front: Callable[[], asyncio.BaseProtocol],
        ceiling: Ceiling,
        proxies: Proxies | None = None,
    ) -> None:
        self.name = name
        self.front = front
        self._sockets = list(sockets)
        self.ceiling = ceiling
        self.accepted = 0
        self._proxies = proxies if proxies is not None else Proxies(())
        self._servers: list[asyncio.Server] = []
        self._open: set[_Connection] = set()

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        return len(self._open)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        accept = self._proxies.behind(lambda: _Connection(self))
        for each in self._sockets:
            made = await loop.create_server(accept, sock=each, backlog=BACKLOG)
            self._servers.append(made)

    def enter(self, connection: _Connection) -> bool:
        if not self.ceiling.enter(connection.source):
            return False
        self._open.add(connection)
        self.accepted += 1
        return True

    def leave(self, connection: _Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self.ceiling.leave(connection.source)

    async def drain(self, _deadline_s: float) -> None:
        """Stop accepting, and let what has begun to arrive be answered; nothing here takes long."""
        for server in self._servers:
            server.close()
        self._proxies.abort()
        for connection in list(self._open):
            connection.drain()
        for each in self._sockets:
            each.close()
