"""A store over a real one, whose commits fail or never return when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from accredit.domain.changes import Change
from accredit.interfaces import CommitUnknown, StoreUnavailable


class TroubledStore:
    """Commits are counted from 1. Number `fails_at` raises StoreUnavailable, once, with nothing of it committed.

    Where `stands` is given it raises CommitUnknown: true, its unit is committed right before the next one.

    Number `stops_at` never returns, nor does any after it: `before` or after the real commit, as if the process had
    died there.
    """

    def __init__(
        self,
        store: Any,
        *,
        fails_at: int | None = None,
        stands: bool | None = None,
        stops_at: int | None = None,
        before: bool = True,
    ) -> None:
        self._store = store
        self._fails_at = fails_at
        self._stands = stands
        self._late: Sequence[Change] = ()
        self._stops_at = stops_at
        self._before = before
        self.commits = 0
        self.stopped = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, unit: Sequence[Change]) -> None:
        self.commits += 1
        late, self._late = self._late, ()
        if late:
            await self._store.commit(late)
        if self.commits == self._fails_at:
            if self._stands is None:
                raise StoreUnavailable("the disk is full")
            self._late = unit if self._stands else ()
            raise CommitUnknown("the database is away")
        if self._stops_at is None or self.commits < self._stops_at:
            await self._store.commit(unit)
            return
        if self.commits == self._stops_at and not self._before:
            await self._store.commit(unit)
        self.stopped.set()
        await asyncio.Event().wait()


class MeddledStore(TroubledStore):
    """Somebody else does something right before commit number `at`, once."""

    def __init__(self, store: Any, meddle: Callable[[], Awaitable[Any]], at: int = 1) -> None:
        super().__init__(store)
        self._meddle = meddle
        self._at = at

    async def commit(self, unit: Sequence[Change]) -> None:
        if self.commits + 1 == self._at:
            await self._meddle()
        await super().commit(unit)
