"""Queries and paging: `SELECT * FROM x`, `x-ms-max-item-count`, `x-ms-continuation`.

Filtering by a WHERE clause is not here: it is refused by name, so that nobody takes the whole for a selection.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from accredit.domain.errors import Malformed
from accredit.wire.service_api.documents import read

DEFAULT_PAGE = 100
MAX_PAGE = 1000

_MAX_CONTINUATION_CHARS = 2048


@dataclass(frozen=True, slots=True)
class Paging:
    """Which rows a listing call wants: at most `limit`, after `cursor`."""

    limit: int = DEFAULT_PAGE
    cursor: str | None = None


class QueryDocument(msgspec.Struct):
    """The body of a query; clients also send none."""

    query: str | None = None


def paging(max_item_count: str | None, continuation: str | None) -> Paging:
    """Read the two request headers; a count above MAX_PAGE is served as MAX_PAGE."""
    return Paging(_limit(max_item_count), _cursor(continuation))


def check_query(body: bytes, source: str) -> None:
    """Return when the body asks for everything of `source`; clients also send no body, `{}` or a null query."""
    document = read(body, QueryDocument | None) if body.strip() else None  # type: ignore[arg-type]
    text = document.query if document is not None else None
    if text is None or not text.strip():
        return
    whole = f"SELECT * FROM {source}"  # noqa: S608 - part of a sentence; nothing runs it
    words = text.strip().removesuffix(";").replace("*", " * ").lower().split()
    if len(words) < 4 or words[:3] != ["select", "*", "from"]:
        raise Malformed(f"The query does not begin with {whole}.", rule="query-malformed")
    if words[3] != source.lower():
        raise Malformed(f"This address answers queries FROM {source} only.", rule="query-source")
    if len(words) > 4:
        raise Malformed(
            f"Only {whole} is supported by this version, without WHERE or anything else after it.",
            rule="query-unsupported",
        )


def _limit(text: str | None) -> int:
    if text is None or not text.strip():
        return DEFAULT_PAGE
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) == 0:
        raise Malformed("x-ms-max-item-count is not a whole number above 0.", rule="page-size")
    return min(int(digits), MAX_PAGE)


def _cursor(text: str | None) -> str | None:
    if text is None or not text.strip():
        return None
    if len(text) > _MAX_CONTINUATION_CHARS:
        raise Malformed("x-ms-continuation is not one that this service gave.", rule="continuation")
    return text.strip()
