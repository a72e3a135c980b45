"""A small HTTPS server that remembers what it heard and replies as a test says, and the trust that its clients need."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile

from support.tls_service import server_identity, tls_root


@dataclass(frozen=True)
class Heard:
    start: bytes
    headers: dict[str, str]
    body: bytes


Reply = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


def answering(status: int, body: bytes, *headers: tuple[str, str]) -> Reply:
    """One answer to every request; JSON unless a header says otherwise."""

    async def reply(_: Heard, writer: asyncio.StreamWriter) -> None:
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **dict(headers)}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()

    return reply


@functools.cache
def server_context(client_anchors: str = "") -> ssl.SSLContext:
    """A server's, which wants a client certificate where anchors for that are given."""
    identity = server_identity()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(identity.secret().reveal().decode())
        file.flush()
        context.load_cert_chain(file.name)
    if client_anchors:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_anchors)
    return context


def client_trust() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=tls_root().pem().decode())


@asynccontextmanager
async def serving_tls(reply: Reply) -> AsyncIterator[tuple[int, list[Heard]]]:
    """On a free port of localhost, until the block ends."""
    heard: list[Heard] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                start, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                heard.append(Heard(start.encode(), headers, body))
                await reply(heard[-1], writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context())
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
