"""A wire between a client and a TCP server, which a test cuts at a place of its choice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class CutWire:
    """While `cuts` says so of what the client has sent, everything is cut: before it is passed on, or after.

    After: the server gets it, and what it answers is held back until `carried_out` returns; then all connections end.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._connections: set[asyncio.StreamWriter] = set()
        self._held = False
        self.cuts: Callable[[bytes], bool] = lambda _: False
        self.carried_out: Callable[[], bool] | None = None
        self.happened = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        self._connections |= {writer, to_server}
        answers = asyncio.create_task(self._answers(upstream, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if self.cuts(data):
                    self.happened += 1
                    await self._cut(data, to_server)
                    break
                to_server.write(data)
        answers.cancel()
        for each in (writer, to_server):
            each.transport.abort()
            self._connections.discard(each)

    async def _cut(self, data: bytes, to_server: asyncio.StreamWriter) -> None:
        if self.carried_out is None:
            return
        self._held = True
        to_server.write(data)
        while not self.carried_out():
            await asyncio.sleep(0.01)
        self._held = False

    async def _answers(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream.read(65_536):
            if self._held:
                return
            writer.write(data)
        writer.close()


@asynccontextmanager
async def cut_wire(port: int) -> AsyncIterator[CutWire]:
    wire = CutWire(port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
