"""What every part of the store's reading half stands on: the way to the database, and what is kept opened in memory.

A read is written once, as text and values in and rows out; each database gives `_row` and `_rows`. On SQLite neither
ever waits, so that a read there is over within its turn of the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from accredit.seal import Sealer
from accredit.stores.caches import Cache
from accredit.stores.rows import Row
from accredit.stores.steps import Step
from accredit.tallies import CommitTallies


class Reading(ABC):
    alone: ClassVar[bool]
    """Whether this process's own commits are all that can change the database."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._cache = Cache()
        self.commits = CommitTallies()

    @abstractmethod
    async def _row(self, text: str, values: tuple[Any, ...]) -> Row | None:
        """The first row. Raises StoreUnavailable."""

    @abstractmethod
    async def _rows(self, text: str, values: tuple[Any, ...]) -> list[Row]:
        """Raises StoreUnavailable."""

    @abstractmethod
    async def _submit(self, step: Step) -> None:
        """Commit one statement. Raises StoreUnavailable."""

    async def _count(self, text: str, values: tuple[Any, ...]) -> int:
        row = await self._row(text, values)
        assert row is not None
        return int(row[0])
