"""Revoke a device in one act, and let it in again.

In one unit: its enrollment off (an individual one; of a group the device alone), every certificate that it has revoked,
its identity at the hub off, what is under way ended. Then its live connection is cut. CAs that are not ours are told
afterwards, again and again until they answer (`provisioning/outside_revocations.py`); the receipt says how far each is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accredit.administration import names
from accredit.administration.device_revocation import CUT, Act, DeviceRevocation, RevokedCertificate
from accredit.administration.preconditions import repeated
from accredit.domain.changes import Change, DeleteRegistration, ReplaceHubDevice, SaveEnrollment
from accredit.domain.credential import RevocationReason
from accredit.domain.enrollment import Enrollment, EnrollmentKind
from accredit.domain.errors import NotFound
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.registration import Registration, Status
from accredit.interfaces import Clock, Entropy, Hubs, Store
from accredit.observe import log
from accredit.values import dataclass, replace

Cut = Callable[[str, DeviceId, str], bool]
"""Ends the live connection of a device at the hub with this key, for a reason; False where there is none."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A device that is connected to the hub of this key, and the registration that it belongs to, if any."""

    hub: str
    device_id: DeviceId
    registration_id: RegistrationId | None


def _nobody(_hub: str, _device_id: DeviceId, _reason: str) -> bool:
    return False


def _nobody_connected() -> Sequence[Connected]:
    return ()


def _nothing() -> None:
    """There is nobody to wake."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a revocation does beside the store: `cut` ends connections, `wake` tells that outside CAs are to be told.

    `connected` are the live connections to our hubs.
    """

    cut: Cut = _nobody
    wake: Callable[[], None] = _nothing
    connected: Callable[[], Sequence[Connected]] = _nobody_connected


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was done. `hub` is None where the device had no identity; `enrollment` names what was switched off, if anything."""

    registration: Registration
    reason: RevocationReason
    revoked_at: int
    enrollment: Enrollment | None
    certificates: tuple[RevokedCertificate, ...]
    hub: LinkedHub | None
    connection_cut: bool


@dataclass(frozen=True, slots=True)
class Revocation:
    store: Store
    clock: Clock
    entropy: Entropy
    hubs: Hubs
    effects: Effects = Effects()

    async def revoke(self, registration_id: RegistrationId, reason: RevocationReason, by: str) -> Receipt:
        """Revoking twice is as once, and revokes what was issued in between. Raises NotFound."""
        done = await repeated(lambda: self._revoke(registration_id, reason))
        hub = done.hub
        cut = hub is not None and self.effects.cut(hub.key, done.registration.device_id, CUT)
        if not all(each.settled for each in done.certificates):
            self.effects.wake()
        log.warning(
            "device-revoked",
            by=by,
            registrationId=registration_id.text,
            reason=reason.value,
            certificates=len(done.certificates),
            connectionCut=cut,
        )
        return Receipt(
            done.registration, reason, done.revoked_at, done.enrollment, done.certificates, hub, cut
        )

    async def readmit(self, registration_id: RegistrationId, by: str) -> None:
        """Let a revoked device register as a new one, with a new key; what was revoked stays so. Raises NotFound."""
        await repeated(lambda: self._readmit(registration_id))
        log.warning("device-readmitted", by=by, registrationId=registration_id.text)

    async def _revoke(self, registration_id: RegistrationId, reason: RevocationReason) -> Receipt:
        now = int(self.clock.now())
        registration = await self._registration(registration_id)
        plan = await self._device.whole(registration, Act(reason, now))
        await self.store.commit(plan.changes)
        ended = plan.registration or registration
        return Receipt(ended, reason, now, plan.enrollment, plan.certificates, plan.hub, connection_cut=False)

    @property
    def _device(self) -> DeviceRevocation:
        return DeviceRevocation(self.store, self.clock, self.entropy, self.hubs)

    async def _readmit(self, registration_id: RegistrationId) -> None:
        now = int(self.clock.now())
        registration = await self._registration(registration_id)
        if registration.status is not Status.DISABLED:
            raise NotFound("The device is not revoked.", rule="registration-not-revoked")
        unit: list[Change] = [DeleteRegistration(registration_id, registration.etag)]
        enrollment = await self.store.enrollment(registration.enrollment)
        if enrollment is not None and enrollment.kind is EnrollmentKind.INDIVIDUAL and not enrollment.enabled:
            etag = names.etag(self.entropy)
            on = replace(enrollment, enabled=True, etag=etag, updated_at=now)
            unit.append(SaveEnrollment(on, enrollment.etag))
        _, identity = await self._device.identity(registration)
        if identity is not None and not identity.enabled:
            etag = names.etag(self.entropy)
            back = replace(identity, enabled=True, status_reason=None, etag=etag, updated_at=now)
            unit.append(ReplaceHubDevice(back, identity.etag))
        await self.store.commit(unit)

    async def _registration(self, registration_id: RegistrationId) -> Registration:
        registration = await self.store.registration(registration_id)
        if registration is None:
            raise NotFound("There is no such registration.", rule="registration-unknown")
        return registration
