"""A connection that is kept up: when it is lost another one is made, at once and then after growing pauses.

A network that drops packets closes nothing. This side misses the server by `address.py`'s settings of TCP and by the
deadline of `pipeline.py`; the server misses this side by what it is asked for here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.stores.postgresql.address import Address, reason
from accredit.stores.postgresql.pipeline import Answer, Failed, Pipeline

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0

# By its own settings a server keeps a connection whose other end went away for hours, and one that it has an answer for a
# quarter of an hour, with the transaction that the answer belongs to. Asked for by name, where the server has that name:
# not everything that speaks as PostgreSQL does.
_MISSED_SOON = """
SELECT set_config(s.name, w.value, FALSE) FROM pg_settings s JOIN (VALUES
  ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
  ('tcp_user_timeout', '25000')) AS w (name, value) ON w.name = s.name"""


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
        # Not `wait_for`: before Python 3.12 it forgets that it was cancelled where the connection is up just then. Nor
        # `timeout`: a front takes the first step of what a device asks outside of any task (`fronts/eager.py`).
        up = self._loop.create_task(self._up.wait())
        try:
            await asyncio.wait({up}, timeout=max(0, rest_s))
        finally:
            up.cancel()
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
                pipeline = await self._opened()
            except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
                self._why = reason(error)
                # Not all processes at the same instant.
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._pipeline = pipeline
                self._up.set()
                return

    async def _opened(self) -> Pipeline:
        """A new one with its settings made: a pipeline from the first word on, since it is one that gives up waiting."""
        pipeline = Pipeline(await self._address.connected(), self._lost)
        try:
            _taken(await pipeline.run([(text, [], []) for text in (_MISSED_SOON, *self._settings)]))
        except BaseException:
            await pipeline.close()
            raise
        return pipeline

    def _lost(self, why: str) -> None:
        if self._pipeline is None:  # who opens it hears of it there
            return
        self._pipeline = None
        self._up.clear()
        self._away_since = self._loop.time()
        if self._closing:
            return
        self._why = reason(Exception(why))
        log.warning("database-connection-lost", connection=self._name, reason=self._why)
        self._make()


def _taken(answers: Sequence[Answer]) -> None:
    """Raises StoreUnavailable where a setting was refused."""
    for answer in answers:
        if isinstance(answer, Failed):
            raise StoreUnavailable(answer.message)
