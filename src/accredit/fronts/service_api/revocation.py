"""`/registrations/{id}/revoke` and `/readmit` (extensions)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.revocation import Revocation
from accredit.domain.ids import RegistrationId
from accredit.fronts.service_api.answers import document, gone
from accredit.fronts.service_api.gate import body_of
from accredit.values import dataclass
from accredit.wire.service_api.revocation import read_reason, receipt_document, revoked_certificate


@dataclass(frozen=True, slots=True)
class RevocationCalls:
    revocation: Revocation

    async def revoke(self, request: Request, by: str) -> Response:
        registration_id = RegistrationId.parse(request.path_params["id"])
        receipt = await self.revocation.revoke(registration_id, read_reason(await body_of(request)), by)
        certificates = [
            revoked_certificate(each.record, settled=each.settled) for each in receipt.certificates
        ]
        shown = receipt_document(
            receipt.registration.registration_id.text,
            receipt.reason,
            receipt.revoked_at,
            None if receipt.enrollment is None else receipt.enrollment.id.text,
            certificates,
            None if receipt.hub is None else receipt.hub.name,
            connection_cut=receipt.connection_cut,
        )
        return document(shown)

    async def readmit(self, request: Request, by: str) -> Response:
        await self.revocation.readmit(RegistrationId.parse(request.path_params["id"]), by)
        return gone()
