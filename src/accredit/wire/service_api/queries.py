"""The bodies and headers of listings: the query, `x-ms-max-item-count`, `x-ms-continuation`.

The language of queries is read by `query_language.py`.
"""

from __future__ import annotations

import msgspec

from accredit.domain.errors import Malformed
from accredit.values import dataclass
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.query_language import Condition, Fields, parse

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


def read_query(body: bytes, source: str, fields: Fields) -> Condition | None:
    """What the body's query selects of `source`; None is everything, which clients also ask for with no body, `{}` or null."""
    document = read(body, QueryDocument | None) if body.strip() else None  # type: ignore[arg-type]
    text = document.query if document is not None else None
    if text is None or not text.strip():
        return None
    return parse(text, source, fields)


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
