"""A connection that is kept up: when it is lost another one is made, at once and then after growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Any

import psycopg

from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.stores.postgresql.address import Address, reason
from accredit.stores.postgresql.pipeline import Pipeline

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


class Link:
    def __init__(self, address: Address, settings: Sequence[str], name: str) -> None:
        """`settings` are the statements that every new connection begins with. `name` is for the log."""
        self._address = address
        self._settings = settings
        self._name = name
        self._pipeline: Pipeline | None = None
        self._up = asyncio.Event()
        self._why = "it was not tried yet"
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._away_since = self._loop.time()
        self._making: asyncio.Task[None] | None = None
        self._make()

    @property
    def pipeline(self) -> Pipeline | None:
        """The connection, while it is up."""
        return self._pipeline

    async def live(self, patience_s: float) -> Pipeline:
        """The connection. Raises StoreUnavailable once it has been away for `patience_s` seconds."""
        if self._pipeline is not None:
            return self._pipeline
        rest_s = self._away_since + patience_s - self._loop.time()
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: before Python 3.12 it forgets that it was cancelled where the connection is up just then.
            async with asyncio.timeout(max(0, rest_s)):
                await self._up.wait()
        if self._pipeline is None:
            raise StoreUnavailable(f"the database at {self._address.server} can't be reached: {self._why}")
        return self._pipeline

    async def close(self) -> None:
        self._closing = True
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        if self._pipeline is not None:
            await self._pipeline.close()

    def _make(self) -> None:
        self._making = self._loop.create_task(self._made())

    async def _made(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await self._connected()
            except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
                self._why = reason(error)
                # Not all processes at the same instant.
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._pipeline = Pipeline(connection, self._lost)
                self._up.set()
                return

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        connection = await self._address.connected()
        try:
            for text in self._settings:
                await connection.execute(text.encode())
        except BaseException:
            await connection.close()
            raise
        return connection

    def _lost(self, why: str) -> None:
        self._pipeline = None
        self._up.clear()
        self._away_since = self._loop.time()
        if self._closing:
            return
        self._why = reason(Exception(why))
        log.warning("database-connection-lost", connection=self._name, reason=self._why)
        self._make()
