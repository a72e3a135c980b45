"""`/enrollments/{id}/oneTimePassword` (an extension): a password for one EST enrollment, shown in this answer alone."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.one_time_passwords import OneTimePasswords
from accredit.domain.ids import RegistrationId
from accredit.fronts.service_api.answers import document
from accredit.values import dataclass
from accredit.wire.instants import iso


@dataclass(frozen=True, slots=True)
class OneTimePasswordCalls:
    one_time_passwords: OneTimePasswords

    async def make(self, request: Request, by: str) -> Response:
        registration_id = RegistrationId.parse(request.path_params["id"])
        password, made = await self.one_time_passwords.make(registration_id, by)
        return document(
            {
                "registrationId": made.registration_id.text,
                "oneTimePassword": password.reveal().decode(),
                "expiresDateTimeUtc": iso(made.expires_at),
            }
        )
