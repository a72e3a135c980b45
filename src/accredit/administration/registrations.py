"""Registrations as the operator sees them: read, delete, move, list."""

from __future__ import annotations

from accredit.administration import names
from accredit.administration.preconditions import check_present, repeated
from accredit.administration.selections import selected
from accredit.domain.changes import AssertEnrollment, DeleteRegistration, EndSetbacks, SaveRegistration
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Malformed, NotFound
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Registration
from accredit.domain.setback import Setbacks
from accredit.interfaces import Clock, Entropy, Page, Store
from accredit.observe import log
from accredit.values import dataclass, replace
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.queries import Paging
from accredit.wire.service_api.query_language import Condition
from accredit.wire.service_api.selectable import keys_of, wanted_value


@dataclass(frozen=True, slots=True)
class Registrations:
    """A deleted registration's certificates stay good at the hub; the device registers as a new one."""

    store: Store
    clock: Clock
    entropy: Entropy

    async def read(self, registration_id: RegistrationId) -> Registration:
        """Raises NotFound."""
        registration = await self.store.registration(registration_id)
        if registration is None:
            raise NotFound("There is no such registration.", rule="registration-unknown")
        return registration

    async def setbacks(self, registration: Registration) -> Setbacks | None:
        """How often in a row the device failed after its proof, and whether it is paused for it."""
        return await self.store.setbacks(registration.registration_id)

    async def resume(self, registration_id: RegistrationId, by: str) -> Registration:
        """Let a paused device try again, its failures forgotten; that it is not paused is no error."""
        registration = await self.read(registration_id)
        await self.store.commit([EndSetbacks(registration_id)])
        log.info("device-resumed", by=by, registrationId=registration.registration_id.text)
        return registration

    async def delete(self, registration_id: RegistrationId, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows."""
        await repeated(lambda: self._delete(registration_id, condition))
        log.info("registration-deleted", by=by, registrationId=registration_id.text)

    async def move(
        self, registration_id: RegistrationId, target: EnrollmentRef, condition: IfMatch, by: str
    ) -> Registration:
        """Hand the registration to another enrollment; raises Malformed when there is no such one."""
        moved = await repeated(lambda: self._move(registration_id, target, condition))
        log.info(
            "registration-moved",
            by=by,
            registrationId=registration_id.text,
            enrollment=f"{target.kind}/{target.key}",
        )
        return moved

    async def page(
        self, owner: EnrollmentRef | None, condition: Condition | None, paging: Paging
    ) -> Page[Registration]:
        """Of one enrollment, or of all; raises NotFound for an owner that is gone and left nothing behind."""
        if owner is not None and await self.store.enrollment(owner) is None:
            left = await self.store.registrations(owner, None, 1)
            if not left.rows:
                raise NotFound("There is no such enrollment group.", rule="enrollment-unknown")
        group = wanted_value(condition, "enrollmentGroupId")
        if owner is None and group is not None:
            owner = EnrollmentRef(EnrollmentKind.GROUP, group)
        keys = keys_of(condition, "registrationId")

        async def listing(cursor: str | None, limit: int) -> Page[Registration]:
            if owner is None and not keys.everything:
                return await self.store.registrations_between(keys.low, keys.high, cursor, limit)
            return await self.store.registrations(owner, cursor, limit)

        return await selected(listing, condition, paging)

    async def _delete(self, registration_id: RegistrationId, condition: IfMatch) -> None:
        present = await self.store.registration(registration_id)
        check_present(condition, present.etag if present else None, "registration", "registration-unknown")
        assert present is not None
        await self.store.commit([DeleteRegistration(registration_id, present.etag)])

    async def _move(
        self, registration_id: RegistrationId, target: EnrollmentRef, condition: IfMatch
    ) -> Registration:
        present = await self.store.registration(registration_id)
        check_present(condition, present.etag if present else None, "registration", "registration-unknown")
        assert present is not None
        enrollment = await self.store.enrollment(target)
        if enrollment is None:
            raise Malformed("The enrollment to move to does not exist.", rule="move-target")
        moved = replace(
            present,
            enrollment=target,
            etag=names.etag(self.entropy),
            updated_at=int(self.clock.now()),
        )
        await self.store.commit(
            [AssertEnrollment(target, enrollment.etag), SaveRegistration(moved, replaces=present.etag)]
        )
        return moved
