"""Bulk operations: one document after the other, each with its own verdict.

Nothing holds them together: what was done stays done when a later one fails, as with Azure.
"""

from __future__ import annotations

from accredit.administration.enrollments import Enrollments, MayDefine
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import AccreditError, Malformed, UpstreamUnavailable
from accredit.domain.ids import GroupId
from accredit.interfaces import StoreUnavailable
from accredit.wire.service_api.bulk import BulkItem, BulkMode, BulkSent
from accredit.wire.service_api.enrollments import read_enrollment
from accredit.wire.service_api.etags import ANYTHING, NO_CONDITION, IfMatch

STORE_RETRY_S = 5


async def in_bulk(
    enrollments: Enrollments, sent: BulkSent, by: str, may_define: MayDefine | None = None
) -> list[tuple[BulkItem, AccreditError]]:
    """Do what was sent; what could not be done is returned with its reason. `may_define` as in `Enrollments.put`."""
    failed: list[tuple[BulkItem, AccreditError]] = []
    for item in sent.items:
        try:
            await _one(enrollments, sent.mode, item, by, may_define)
        except AccreditError as error:
            failed.append((item, error))
        except StoreUnavailable as failure:
            unavailable = UpstreamUnavailable(
                "The storage can't answer now.",
                rule="store-unavailable",
                retry_after_s=STORE_RETRY_S,
                evidence=str(failure),
            )
            failed.append((item, unavailable))
    return failed


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
