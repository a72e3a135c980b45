"""One page of what a condition selects, out of a listing of any length.

A page looks at a bounded number of rows, so where few of them are selected it may be short and go on all the same. But it is
never empty before the end: Azure's Python client takes an empty page for the last one, whatever the continuation says.
Each row is looked at once: the continuation names the last row that was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from accredit.interfaces import Page
from accredit.wire.service_api.queries import Paging
from accredit.wire.service_api.query_language import Condition

STEP_ROWS = 250
"""Read and looked at in one go: about three milliseconds, in which nobody else is served."""

MAX_ROWS_LOOKED_AT = 5_000
"""Of a page that has found something."""

RowT = TypeVar("RowT")

Listing = Callable[[str | None, int], Awaitable[Page[RowT]]]
"""A page of the listing: cursor and limit."""


async def selected(listing: Listing[RowT], condition: Condition | None, paging: Paging) -> Page[RowT]:
    """A page of the rows that the condition selects; of all of them where there is none."""
    if condition is None:
        return await listing(paging.cursor, paging.limit)
    rows: list[RowT] = []
    cursor = paging.cursor
    looked_at = 0
    while not rows or looked_at < MAX_ROWS_LOOKED_AT:
        step = await listing(cursor, STEP_ROWS)
        looked_at += len(step.rows)
        for number, row in enumerate(step.rows):
            if not condition.selects(row):
                continue
            rows.append(row)
            if len(rows) == paging.limit:
                last = step.cursor is None and number == len(step.rows) - 1
                return Page(rows, None if last else step.after(number))
        cursor = step.cursor
        if cursor is None:
            break
        await asyncio.sleep(0)
    return Page(rows, cursor)
