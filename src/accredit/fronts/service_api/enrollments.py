"""`/enrollments` and `/enrollmentGroups`: the same five calls, for two kinds."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.bulk import in_bulk
from accredit.administration.enrollments import Enrollments, warning_about
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.ids import GroupId, RegistrationId
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import also, body_of
from accredit.observe import log
from accredit.policy.access import Call
from accredit.values import dataclass
from accredit.wire.service_api.attestations import attestation_document
from accredit.wire.service_api.bulk import bulk_document, read_bulk
from accredit.wire.service_api.enrollments import enrollment_document, read_enrollment
from accredit.wire.service_api.queries import read_query
from accredit.wire.service_api.selectable import enrollment_fields


@dataclass(frozen=True, slots=True)
class EnrollmentCalls:
    enrollments: Enrollments
    kind: EnrollmentKind

    async def put(self, request: Request, by: str) -> Response:
        sent = read_enrollment(await body_of(request), self._id(request))
        saved = await self.enrollments.put(
            sent, condition_of(request), by, may_define=partial(also, request, Call.DEFINE_WEBHOOK)
        )
        warning = warning_about(saved)
        headers = {"x-accredit-warning": warning} if warning else None
        return document(enrollment_document(saved, keys_shown=True), saved.etag, headers)

    async def read(self, request: Request, _by: str) -> Response:
        enrollment = await self.enrollments.read(self._ref(request))
        registration = await self.enrollments.registration_of(enrollment)
        return document(enrollment_document(enrollment, registration=registration), enrollment.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.enrollments.delete(self._ref(request), condition_of(request), by)
        return gone()

    async def reveal(self, request: Request, _by: str) -> Response:
        enrollment = await self.enrollments.read(self._ref(request))
        return document(attestation_document(enrollment.attestation, keys_shown=True), enrollment.etag)

    async def query(self, request: Request, _by: str) -> Response:
        individual = self.kind is EnrollmentKind.INDIVIDUAL
        source = "enrollments" if individual else "enrollmentGroups"
        condition = read_query(await body_of(request), source, enrollment_fields(self.kind))
        wanted = paging_of(request)
        found = await self.enrollments.page(self.kind, condition, wanted)
        rows = [enrollment_document(row) for row in found.rows]
        return page(rows, found.cursor, wanted, "enrollment" if individual else "enrollmentGroup")

    async def bulk(self, request: Request, by: str) -> Response:
        sent = read_bulk(await body_of(request), self.kind)
        failed = await in_bulk(self.enrollments, sent, by, partial(also, request, Call.DEFINE_WEBHOOK))
        for item, error in failed:
            log.info(
                "bulk-item-refused", by=by, mode=sent.mode.value, id=item.id.text, rule=error.rule,
                reason=error.message, evidence=error.evidence,
            )  # fmt: skip
        return document(bulk_document(failed))

    def _id(self, request: Request) -> RegistrationId | GroupId:
        kind = RegistrationId if self.kind is EnrollmentKind.INDIVIDUAL else GroupId
        return kind.parse(request.path_params["id"])

    def _ref(self, request: Request) -> EnrollmentRef:
        return EnrollmentRef(self.kind, self._id(request).key)
