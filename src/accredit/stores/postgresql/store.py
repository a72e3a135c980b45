"""`interfaces.Store` on PostgreSQL, for any number of processes.

Reads go out on connections of their own, each at once, and come back in order; units of work go through `writer.py`.
What is kept in memory is forgotten when this process or another one changes settings: the latter is told by an epoch,
which is looked at every second.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

from accredit.domain.changes import Change
from accredit.interfaces import Stale, StoreUnavailable
from accredit.seal import Sealer
from accredit.stores.postgresql import schema, texts, writer
from accredit.stores.postgresql.address import CONNECT_S, Address
from accredit.stores.postgresql.link import Link
from accredit.stores.postgresql.pipeline import Failed, Lost, Result, bound
from accredit.stores.postgresql.writer import CONFLICT, RETRY_S, Writer
from accredit.stores.reads import StoreReads
from accredit.stores.rows import Row
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.steps import Step, UnitOfWork
from accredit.stores.units import Units

READERS = 2
"""Connections to read by: a slow answer holds up what is behind it on the same one."""

READ_PATIENCE_S = 1.0
"""How long reads wait for a server that is away, in seconds."""

ATTEMPTS = 5
"""How often a read is tried that others are in the way of: where reads are serializable too, and in databases of many
machines, whose clocks differ a little."""

EPOCH_S = 1.0
"""How old what is kept in memory may be, after another process has changed it, in seconds."""

_READ_SETTINGS = ("SET statement_timeout = 10000",)


class PostgresqlStore(StoreReads):
    """Make one with `open`, in the event loop that uses it."""

    alone = False

    def __init__(self, address: Address, sealer: Sealer) -> None:
        """`address` leads to a database that `schema.migrate` has seen."""
        super().__init__(sealer)
        self._units = Units(sealer)
        self._readers = [Link(address, _READ_SETTINGS, "reader") for _ in range(READERS)]
        self._writing = Link(address, writer.SETTINGS, "writer")
        self._writer = Writer(self._writing, self._committed, tallies=self.commits)
        self._told: list[Callable[[], None]] = []
        self._raised: list[Callable[[], None]] = []
        self._woken = asyncio.Event()
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def open(cls, url: str, sealer: Sealer) -> Self:
        """Bring the database up to this version, and open it. Raises schema.DatabaseUnusable."""
        address = Address(url)
        await schema.migrate(address)
        await schema.refuse_unfinished(address)
        store = cls(address, sealer)
        try:
            for link in (*store._readers, store._writing):
                await link.live(CONNECT_S)
        except StoreUnavailable as error:
            await store.close()
            raise DatabaseUnusable(f"{error}.") from None
        return store

    async def commit(self, unit: Sequence[Change]) -> None:
        try:
            await self._writer.submit(self._units.make(unit))
        except Stale:
            # It may rest on a copy that another process has just made old: who tries again reads anew.
            self._cache.forget()
            raise

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._writer.close()
        for link in (*self._readers, self._writing):
            await link.close()

    async def database_time(self) -> float:
        """The server's clock, Unix time in seconds: the same for all processes. Raises StoreUnavailable."""
        row = await self._row(texts.DATABASE_TIME, ())
        assert row is not None
        return int(row[0]) / 1000

    def tell(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever settings may have changed by another process."""
        self._told.append(changed)

    def tell_others(self, raised: Callable[[], None]) -> None:
        """Have `raised` called whenever settings were changed by this process."""
        self._raised.append(raised)

    def look(self) -> None:
        """See now whether another process has changed settings."""
        self._woken.set()

    async def _submit(self, step: Step) -> None:
        await self._writer.submit(UnitOfWork([step]))

    async def _row(self, text: str, values: tuple[Any, ...]) -> Row | None:
        found = await self._rows(text, values)
        return found[0] if found else None

    async def _rows(self, text: str, values: tuple[Any, ...]) -> list[Row]:
        statement = bound(texts.words(text), values)
        for attempt in range(1, ATTEMPTS + 1):
            link = min(self._readers, key=_busy)
            pipeline = await link.live(READ_PATIENCE_S)
            try:
                (answer,) = await pipeline.run([statement])
            except Lost as lost:
                # What was only read may be read again.
                if attempt > 1:
                    raise StoreUnavailable(f"the connection to the database was lost: {lost}") from None
                continue
            if isinstance(answer, Result):
                return answer.rows
            assert isinstance(answer, Failed)
            if answer.code[:2] != CONFLICT or attempt == ATTEMPTS:
                raise StoreUnavailable(f"the database can't answer: {answer.message}")
            await asyncio.sleep(random.uniform(0, RETRY_S * 2**attempt))  # noqa: S311 - no secret
        raise AssertionError("an attempt either answers or raises")

    def _committed(self, unit: UnitOfWork) -> None:
        self._units.committed(unit)
        self._changed(unit)
        if unit.touches_settings:
            for raised in self._raised:
                raised()

    async def _watch(self) -> None:
        """Forget what is in memory when another process has raised the epoch, or when that can't be told."""
        known = None
        while True:
            self._woken.clear()
            try:
                row = await self._row(texts.EPOCH, ())
            except StoreUnavailable:
                row = None
            epoch = None if row is None else row[0]
            if epoch is None or epoch != known:
                self._cache.forget()
                for changed in self._told:
                    changed()
            known = epoch
            with suppress(TimeoutError):
                async with asyncio.timeout(EPOCH_S):
                    await self._woken.wait()


def _busy(link: Link) -> float:
    return float("inf") if link.pipeline is None else link.pipeline.waiting
