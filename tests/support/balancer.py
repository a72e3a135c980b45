"""A TCP load balancer in front of several nodes: each connection goes to the next node that takes it; no TLS is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

_PIECE_BYTES = 65_536


class Balancer:
    def __init__(self, hosts: Sequence[str], port: int) -> None:
        self._hosts = list(hosts)
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await self._taken()
        if far is not None:
            far_reader, far_writer = far
            both = {
                asyncio.create_task(_pass_on(reader, far_writer)),
                asyncio.create_task(_pass_on(far_reader, writer)),
            }
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
            far_writer.transport.abort()
        writer.transport.abort()

    async def _taken(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._hosts:
            self._hosts.append(self._hosts.pop(0))
            try:
                return await asyncio.open_connection(self._hosts[0], self._port)
            except OSError:
                continue
        return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        return


@asynccontextmanager
async def balancer(host: str, port: int, hosts: Sequence[str]) -> AsyncIterator[None]:
    """Listens on `host`, for nodes that listen on `hosts` at the same port."""
    server = await asyncio.start_server(Balancer(hosts, port).serve, host, port)
    try:
        yield
    finally:
        server.close()
