"""Bulk operations: each document with its own verdict.

Nothing holds them together: what was done stays done when another one fails, as with Azure. Individual enrollments are
done side by side, so that they share a commit; groups, whose number is bounded, and what names one id twice, one after the other.
"""

from __future__ import annotations

import asyncio

from accredit.administration.enrollments import Enrollments, MayDefine
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import AccreditError, Malformed, UpstreamUnavailable
from accredit.domain.ids import GroupId, RegistrationId
from accredit.interfaces import StoreUnavailable
from accredit.wire.service_api.bulk import BulkItem, BulkMode, BulkSent
from accredit.wire.service_api.enrollments import read_enrollment
from accredit.wire.service_api.etags import ANYTHING, NO_CONDITION, IfMatch

STORE_RETRY_S = 5


async def in_bulk(
    enrollments: Enrollments, sent: BulkSent, by: str, may_define: MayDefine | None = None
) -> list[tuple[BulkItem, AccreditError]]:
    """Do what was sent; what could not be done is returned with its reason. `may_define` as in `Enrollments.put`."""

    async def one(item: BulkItem) -> AccreditError | None:
        return await _verdict(enrollments, sent.mode, item, by, may_define)

    apart = len({item.id for item in sent.items}) == len(sent.items)
    if apart and all(isinstance(item.id, RegistrationId) for item in sent.items):
        verdicts = await asyncio.gather(*map(one, sent.items))
    else:
        verdicts = [await one(item) for item in sent.items]
    return [(item, error) for item, error in zip(sent.items, verdicts, strict=True) if error is not None]


async def _verdict(
    enrollments: Enrollments, mode: BulkMode, item: BulkItem, by: str, may_define: MayDefine | None
) -> AccreditError | None:
    try:
        await _one(enrollments, mode, item, by, may_define)
    except AccreditError as error:
        return error
    except StoreUnavailable as failure:
        return UpstreamUnavailable(
            "The storage can't answer now.",
            rule="store-unavailable",
            retry_after_s=STORE_RETRY_S,
            evidence=str(failure),
        )
    return None


async def _one(
    enrollments: Enrollments, mode: BulkMode, item: BulkItem, by: str, may_define: MayDefine | None
) -> None:
    if mode is BulkMode.DELETE:
        kind = EnrollmentKind.GROUP if isinstance(item.id, GroupId) else EnrollmentKind.INDIVIDUAL
        await enrollments.delete(EnrollmentRef(kind, item.id.key), NO_CONDITION, by)
        return
    document = read_enrollment(item.body, item.id)
    if mode is BulkMode.CREATE:
        await enrollments.put(document, NO_CONDITION, by, may_define=may_define)
        return
    if mode is BulkMode.UPDATE_IF_MATCH and item.condition == NO_CONDITION:
        raise Malformed("updateIfMatchETag needs the etag of the document.", rule="bulk-etag")
    condition = item.condition if mode is BulkMode.UPDATE_IF_MATCH else IfMatch(ANYTHING)
    await enrollments.put(document, condition, by, must_exist=True, may_define=may_define)
