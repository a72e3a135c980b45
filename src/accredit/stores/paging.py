"""Cursors of listings: the last row's key, in a form that callers hand back and don't read.

A cursor names its listing, so that one of another listing is refused and not misread.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from accredit.domain.errors import Malformed
from accredit.interfaces import Page

MAX_ROWS = 1000
_MAX_CURSOR_CHARS = 1024
_MAX_ID = 2**63 - 1

RowT = TypeVar("RowT")
ValueT = TypeVar("ValueT")


def after_key(cursor: str | None, listing: str) -> str:
    """The name after which the listing goes on; every name stands after the empty one."""
    return "" if cursor is None else _content(cursor, listing)


def first_key(cursor: str | None, listing: str, low: str) -> str:
    """The name from which on the listing goes on, within a range that begins at `low`.

    One bound, because a database searches its index by one of two and looks at every row for the other. What stands
    right behind a name is the name and a character that is below all that names may hold.
    """
    return low if cursor is None else max(low, _content(cursor, listing) + "\x01")


def after_id(cursor: str | None, listing: str) -> int:
    if cursor is None:
        return 0
    text = _content(cursor, listing)
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _MAX_ID):
        raise _malformed()
    return int(text)


def page(
    found: Sequence[RowT],
    limit: int,
    value: Callable[[RowT], ValueT],
    key: Callable[[RowT], object],
    listing: str,
) -> Page[ValueT]:
    """`found` has one row more than `limit` when the listing goes on."""
    shown = found[:limit]

    def after(number: int) -> str:
        return _cursor(str(key(shown[number])), listing)

    return Page([value(row) for row in shown], after(-1) if len(found) > limit else None, after)


def row_id(row: Sequence[Any]) -> int:
    """The key of a listing in the order of ids."""
    return int(row[0])


def bounded(limit: int) -> int:
    return max(1, min(limit, MAX_ROWS))


def _cursor(text: str, listing: str) -> str:
    return base64.urlsafe_b64encode(f"{listing}:{text}".encode()).decode()


def _content(cursor: str, listing: str) -> str:
    try:
        if len(cursor) > _MAX_CURSOR_CHARS:
            raise _malformed()
        decoded = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error):
        raise _malformed() from None
    name, _, content = decoded.partition(":")
    if name != listing or not content:
        raise _malformed()
    return content


def _malformed() -> Malformed:
    return Malformed("The continuation token is not one of this listing.", rule="continuation")
