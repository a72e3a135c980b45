"""Answers of the service API: one document, a page of documents, or nothing.

Header names are lower-case on purpose: Azure's C# client looks them up in a case-sensitive dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from accredit.fronts.service_api.gate import JSON
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.etags import IfMatch, if_match, quoted
from accredit.wire.service_api.queries import Paging, paging


def document(
    content: dict[str, Any], etag: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """200 with one document; PUT answers so too, created or replaced."""
    tag = {"etag": quoted(etag)} if etag is not None else {}
    return Response(write(content), 200, {**tag, **(headers or {})}, JSON)


def page(rows: Sequence[dict[str, Any]], cursor: str | None, wanted: Paging, item_type: str) -> Response:
    """200 with an array; no continuation header at the end, since an empty one makes Azure's Node client loop."""
    headers = {"x-ms-max-item-count": str(wanted.limit), "x-ms-item-type": item_type}
    if cursor is not None:
        headers["x-ms-continuation"] = cursor
    return Response(write(rows), 200, headers, JSON)


def gone() -> Response:
    """204: deleted."""
    return Response(status_code=204)


def condition_of(request: Request) -> IfMatch:
    """The request's If-Match."""
    return if_match(request.headers.get("if-match"))


def paging_of(request: Request) -> Paging:
    """Which page the request wants."""
    return paging(request.headers.get("x-ms-max-item-count"), request.headers.get("x-ms-continuation"))
