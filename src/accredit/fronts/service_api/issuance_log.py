"""`/issuanceLog`: heads, proofs, and the leaves with what they cover (extensions)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.issuance_log import MAX_EXPORTED, IssuanceLog
from accredit.domain.errors import Malformed
from accredit.domain.issuance_log import LeafKind
from accredit.fronts.service_api.answers import document, page
from accredit.values import dataclass
from accredit.wire.service_api.queries import Paging
from accredit.wire.service_api.tree import (
    consistency_document,
    exported_document,
    head_document,
    inclusion_document,
    witness_document,
)

_SHA256_CHARS = 64
_ABOUT_CERTIFICATES = (LeafKind.CERTIFICATE, LeafKind.UNKNOWN, LeafKind.REVOCATION)
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class LogCalls:
    log: IssuanceLog

    async def head(self, request: Request, _by: str) -> Response:
        head = await self.log.head(_number(request, "size"))
        return document(msgspec.to_builtins(head_document(head)))

    async def witness(self, _request: Request, _by: str) -> Response:
        standing, taken = await self.log.witnessed()
        return document(witness_document(standing, taken))

    async def inclusion(self, request: Request, _by: str) -> Response:
        found = await self.log.inclusion(_sha256(request), _number(request, "size"), _kind(request))
        return document(inclusion_document(found.placed, found.head, found.proof))

    async def consistency(self, request: Request, _by: str) -> Response:
        first = _number(request, "first")
        if first is None:
            raise Malformed("first is missing: the size of the earlier tree.", rule="query-parameter")
        head, proof = await self.log.consistency(first, _number(request, "second"))
        return document(consistency_document(first, head, proof))

    async def entries(self, request: Request, _by: str) -> Response:
        start = _number(request, "start") or 0
        limit = _number(request, "limit") or MAX_EXPORTED
        rows = await self.log.exported(start, limit)
        shown = [exported_document(each.placed, each.certificate) for each in rows]
        return page(shown, None, Paging(limit), "unknown")


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise Malformed(f"{name} is not a whole number.", rule="query-parameter")
    return int(text)


def _kind(request: Request) -> LeafKind | None:
    text = request.query_params.get("kind")
    if text is None:
        return None
    kinds = {kind.name.lower(): kind for kind in _ABOUT_CERTIFICATES}
    if text not in kinds:
        raise Malformed(f"kind is not one of {', '.join(kinds)}.", rule="query-parameter")
    return kinds[text]


def _sha256(request: Request) -> bytes:
    text = request.query_params.get("sha256", "")
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(text) != _SHA256_CHARS or not digest:
        raise Malformed("sha256 is not the SHA-256 of a certificate in hex.", rule="query-parameter")
    return digest
