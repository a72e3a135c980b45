"""One-time passwords: made for one device, told once, and known here by their hash alone from then on."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from accredit.administration.preconditions import repeated
from accredit.domain.changes import AssertEnrollment, SaveOneTimePassword
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.ids import RegistrationId
from accredit.domain.one_time_password import OneTimePassword
from accredit.domain.secret import Secret
from accredit.interfaces import Clock, Entropy, Store
from accredit.observe import log
from accredit.policy import one_time
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class OneTimePasswords:
    store: Store
    clock: Clock
    entropy: Entropy

    async def make(self, registration_id: RegistrationId, by: str) -> tuple[Secret, OneTimePassword]:
        """The password, and what is kept of it; it takes the place of an earlier one.

        Raises NotFound where there is no such enrollment, Conflict where it issues no certificates.
        """
        password = Secret(urlsafe_b64encode(self.entropy.token(one_time.TOKEN_BYTES)))
        made = await repeated(lambda: self._make(registration_id, password))
        log.info("one-time-password-made", by=by, registrationId=made.registration_id.text)
        return password, made

    async def _make(self, registration_id: RegistrationId, password: Secret) -> OneTimePassword:
        enrollment = await self.store.enrollment(
            EnrollmentRef(EnrollmentKind.INDIVIDUAL, registration_id.key)
        )
        if enrollment is None or not isinstance(enrollment.id, RegistrationId):
            raise NotFound("There is no such enrollment.", rule="enrollment-unknown")
        if enrollment.authority is None:
            raise Conflict(
                "The enrollment issues no certificates, so that a password would be for nothing.",
                rule="enrollment-issues-nothing",
                hint="set clientCertificateIssuancePolicy.certificateAuthorityName on it",
            )
        made = OneTimePassword(
            enrollment.id,
            enrollment.generation,
            one_time.digest_of(password),
            int(self.clock.now()) + one_time.LIFE_S,
        )
        await self.store.commit(
            [AssertEnrollment(enrollment.ref, enrollment.etag), SaveOneTimePassword(made)]
        )
        return made
