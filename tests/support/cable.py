"""A cable between a client and a TCP server on this machine, which a test pulls out and puts back.

While it is out, whatever is said on it is swallowed and nothing is closed, as by a network that drops packets; who
connects anew hears nothing either. Once it is back, new connections go through; the old ones end.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cable:
    """Carries from `port` to the port of a server, in a thread of its own."""

    def __init__(self, to: int, listening: socket.socket) -> None:
        self._to = to
        self._is_out = False
        self._connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable")
        self._thread.start()
        self._server = self._in_thread(lambda: asyncio.start_server(self._carry, sock=listening))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self._is_out = True

    def join(self) -> None:
        self._is_out = False
        self._in_thread(self._end_all)

    def close(self) -> None:
        self._is_out = False
        self._server.close()
        self._in_thread(self._end_all)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _in_thread(self, make: Callable[[], object]):
        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(30)

    async def _end_all(self) -> None:
        for writer in list(self._connections):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while self._is_out:
                await asyncio.sleep(0.05)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            self._connections.discard(writer)
            return
        self._connections.add(far_writer)
        there, back = self._pass_on(reader, far_writer), self._pass_on(far_reader, writer)
        await asyncio.wait(
            {asyncio.create_task(there), asyncio.create_task(back)}, return_when=asyncio.FIRST_COMPLETED
        )
        for each in (writer, far_writer):
            each.transport.abort()
            self._connections.discard(each)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if not self._is_out:
                    writer.write(data)
        except OSError:
            return


@contextmanager
def cable(port: int, listening: socket.socket | None = None) -> Iterator[Cable]:
    """Its end is at a port of loopback, or at this socket."""
    made = Cable(port, listening or socket.create_server(("127.0.0.1", 0)))
    try:
        yield made
    finally:
        made.close()
