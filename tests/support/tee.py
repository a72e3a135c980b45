"""A relay before a plain HTTP server that hands every byte on as it came, and keeps what was asked.

Nothing is changed on the way, the `Host` header neither, so that a server which judges signatures judges the client's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


@dataclass
class Tee:
    """`url` is the relay's own address."""

    url: str = ""
    _streams: list[bytearray] = field(default_factory=list)

    def requests(self) -> list[tuple[dict[str, str], bytes]]:
        """Headers (names in lower case) and body of each request so far."""
        return [request for stream in self._streams for request in _split(bytes(stream))]


def _split(stream: bytes) -> list[tuple[dict[str, str], bytes]]:
    found = []
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", 0))
        found.append((headers, rest[:size]))
        stream = rest[size:]
    return found


@asynccontextmanager
async def tee(target: str) -> AsyncIterator[Tee]:
    """Before the server at this address, until the block ends."""
    made = Tee()
    there = urlsplit(target)
    tasks: set[asyncio.Task[None]] = set()

    async def hand_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if kept is not None:
                kept += data
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        stream = bytearray()
        made._streams.append(stream)
        other_reader, other_writer = await asyncio.open_connection(there.hostname, there.port)
        try:
            await asyncio.gather(
                hand_on(reader, other_writer, stream),
                hand_on(other_reader, writer, None),
                return_exceptions=True,
            )
        finally:
            for each in (writer, other_writer):
                each.close()
                with suppress(OSError):
                    await each.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
