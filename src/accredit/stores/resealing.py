"""Sealing anew, under the key that seals now, what other master keys have sealed: in portions, beside whatever else is committed.

A portion takes an envelope's place only while it is still the one that was read, so that no change is undone. Nothing
of this is remembered: what is done already says so itself, and whoever begins again passes over it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from accredit.seal import sealed_with
from accredit.stores.reading import Reading
from accredit.stores.rows import Row
from accredit.stores.sealed_columns import SEALED_COLUMNS, SealedColumn

PORTION_ROWS = 64
"""What is committed at once: few enough that a device's commit waits for it some milliseconds."""

_HEAD_BYTES = 9


class Resealing(Reading):
    """Of the store: its sealed columns, whatever they are of."""

    async def sealed_values(self) -> Counter[str]:
        """How many envelopes each master key (id, hex) has closed."""
        found: Counter[str] = Counter()
        for each in SEALED_COLUMNS:
            head = f"substr({each.column}, 1, {_HEAD_BYTES})"
            rows = await self._rows(
                f"SELECT {head}, COUNT(*) FROM {each.table} WHERE {each.column} IS NOT NULL GROUP BY {head}",  # noqa: S608 - names of our own
                (),
            )
            for envelope, count in rows:
                found[sealed_with(bytes(envelope))] += count
        return found

    async def reseal(self) -> AsyncIterator[int]:
        """Go once over everything, and tell after each portion how many envelopes it has replaced.

        Raises SealError at the first envelope that can't be opened, StoreUnavailable.
        """
        for each in SEALED_COLUMNS:
            last: tuple[str, ...] | None = None
            while portion := await self._portion(each, last):
                last = tuple(portion[-1][:-1])
                yield await self._replaced(each, portion)

    async def _portion(self, each: SealedColumn, last: tuple[str, ...] | None) -> list[Row]:
        """Rows of the natural key and the envelope, after the one with the key `last`."""
        keys = ", ".join(each.key)
        begins = "" if last is None else f"AND ({keys}) > ({', '.join('?' * len(last))}) "
        text = (
            f"SELECT {keys}, {each.column} FROM {each.table} "  # noqa: S608 - names of our own
            f"WHERE {each.column} IS NOT NULL AND substr({each.column}, 1, {_HEAD_BYTES}) <> ? {begins}"
            f"ORDER BY {keys} LIMIT {PORTION_ROWS}"
        )
        return await self._rows(text, (self._sealer.head, *(last or ())))

    async def _replaced(self, each: SealedColumn, portion: list[Row]) -> int:
        matches = " AND ".join(f"{name} = ?" for name in (*each.key, each.column))
        text = f"UPDATE {each.table} SET {each.column} = ? WHERE {matches}"  # noqa: S608 - names of our own
        steps = [(text, (self._resealed(each, *row), *row), None, None) for row in portion]
        # Together, so that they share a commit where the store can.
        await asyncio.gather(*map(self._submit, steps))
        return len(steps)

    def _resealed(self, each: SealedColumn, *row: object) -> bytes:
        *key, envelope = row
        assert isinstance(envelope, bytes)
        place = each.place([str(part) for part in key])
        content = self._sealer.open(envelope, each.table, place, each.column)
        return self._sealer.seal(content, each.table, place, each.column)
