"""A wire between a client and a TCP server, which a test cuts at a place of its choice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class CutWire:
    """Cuts everything where the client sends the next of `cuts`: octets, and what says that the server has carried it out.

    Without the latter the server does not get it. With it, the server does, and its answer is held back until then. Where a
    cut `lasts`, nobody gets through any more until `joined`.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._held = False
        self._is_away = False
        self.lasts = False
        self.cuts: deque[tuple[bytes, Callable[[], bool] | None]] = deque()
        self.port = 0

    def joined(self) -> None:
        self.lasts = self._is_away = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_away:
            writer.transport.abort()
            return
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        answers = asyncio.create_task(self._answers(upstream, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if self.cuts and self.cuts[0][0] in data:
                    await self._cut(data, to_server, self.cuts.popleft()[1])
                    self._is_away = self.lasts
                    break
                to_server.write(data)
        answers.cancel()
        for each in (writer, to_server):
            each.transport.abort()

    async def _cut(
        self, data: bytes, to_server: asyncio.StreamWriter, carried_out: Callable[[], bool] | None
    ) -> None:
        if carried_out is None:
            return
        self._held = True
        to_server.write(data)
        while not carried_out():
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
