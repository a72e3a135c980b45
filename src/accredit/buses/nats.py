"""The bus of several processes: NATS, whose subjects begin with the service's id scope, so that services can share a server.

The connection comes up and comes back by itself. While it is down nothing is sent or heard; who needs to know looks into
the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from accredit.domain.subjects import Subject
from accredit.observe import log

CONNECT_S = 2
"""How long one attempt may take, and how far apart attempts are, in seconds."""

_PING_S = 5
_QUEUED = 10_000


class NatsLink:
    """One connection to NATS, for all that this process says and hears there."""

    def __init__(self, url: str) -> None:
        """`url` is one server or several, separated by commas: nats://, or tls:// for TLS; it may hold user and password."""
        self._servers = [server.strip() for server in url.split(",")]
        self.client = Client()
        self._connecting: asyncio.Task[None] | None = None
        self._closing = False
        self._failure = ""

    @property
    def is_up(self) -> bool:
        return self.client.is_connected

    async def start(self, patience_s: float) -> None:
        """Begin to connect; return once that is done, or after `patience_s` seconds, while it goes on."""
        self._connecting = asyncio.create_task(self._connect(), name="nats")
        await asyncio.wait({self._connecting}, timeout=patience_s)
        if not self.is_up and not self._failure:
            log.warning("bus-lost", reason="NATS does not answer")

    async def up(self) -> None:
        """Return once the first connection is made."""
        assert self._connecting is not None
        await asyncio.shield(self._connecting)

    async def close(self) -> None:
        self._closing = True
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await self.client.close()

    async def _connect(self) -> None:
        await self.client.connect(
            servers=self._servers,
            name="accredit",
            connect_timeout=CONNECT_S,
            reconnect_time_wait=1,
            max_reconnect_attempts=-1,
            ping_interval=_PING_S,
            error_cb=self._failed,
            disconnected_cb=self._lost,
            reconnected_cb=self._back,
        )

    async def _lost(self) -> None:
        if not self._closing:
            log.warning("bus-lost", reason="the connection to NATS was lost")

    async def _failed(self, error: Exception) -> None:
        """Each attempt that fails comes here, every second or so: the same failure is told once."""
        failure = str(error) or type(error).__name__
        if failure != self._failure and not self._closing:
            log.warning("bus-lost", reason=failure)
        self._failure = failure

    async def _back(self) -> None:
        self._failure = ""
        log.info("bus-back")


class NatsBus:
    """`processes.Bus` for the process that `owner` names, of the service with this id scope."""

    def __init__(self, link: NatsLink, id_scope: str, owner: str) -> None:
        self._link = link
        self._prefix = f"accredit.{id_scope}.bus"
        self._owner = owner
        self._listeners: dict[str, list[Callable[[str], None]]] = {}
        self._queue: asyncio.Queue[tuple[Subject, str]] = asyncio.Queue(_QUEUED)
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="bus, hearing"),
            asyncio.create_task(self._send(), name="bus, telling"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, subject: Subject, word: str = "") -> None:
        # A word that waits for a connection is no news any more by the time that there is one.
        if self._link.is_up:
            with suppress(asyncio.QueueFull):
                self._queue.put_nowait((subject, word))

    def hear(self, subject: Subject, listener: Callable[[str], None]) -> None:
        self._listeners.setdefault(subject.value, []).append(listener)

    async def _listen(self) -> None:
        await self._link.up()
        # The client subscribes anew by itself whenever it is connected again.
        await self._link.client.subscribe(f"{self._prefix}.*", cb=self._heard)

    async def _heard(self, message: Msg) -> None:
        owner, _, word = message.data.decode(errors="replace").partition("\n")
        if owner == self._owner:
            return
        for listener in self._listeners.get(message.subject.rpartition(".")[2], ()):
            try:
                listener(word)
            except Exception:  # noqa: BLE001 - logged with its trace: the next word is heard all the same
                log.exception("bus-word-failed", subject=message.subject)

    async def _send(self) -> None:
        while True:
            subject, word = await self._queue.get()
            with suppress(nats.errors.Error, OSError):
                await self._link.client.publish(
                    f"{self._prefix}.{subject}", f"{self._owner}\n{word}".encode()
                )
