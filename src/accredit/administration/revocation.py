"""Revoke a device in one act, and let it in again.

In one unit: its enrollment off (an individual one; of a group the device alone), every certificate that it has revoked,
its identity at the hub off, what is under way ended. Then its live connection is cut. CAs that are not ours are told
afterwards, again and again until they answer (`provisioning/outside_revocations.py`); the receipt says how far each is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from accredit.administration import names
from accredit.administration.preconditions import repeated
from accredit.domain.changes import (
    AppendLeaf,
    Change,
    CutSession,
    DeleteRegistration,
    ReleaseLater,
    ReplaceHubDevice,
    RevokeCertificate,
    SaveEnrollment,
    SaveRegistration,
    SupersedeOperation,
)
from accredit.domain.credential import CertificateRecord, CertificateStatus, RevocationReason
from accredit.domain.device import HubDevice
from accredit.domain.enrollment import Enrollment, EnrollmentKind
from accredit.domain.errors import NotFound
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.issuance_log import revocation_leaf
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.registration import Registration, Status
from accredit.domain.release import Release
from accredit.interfaces import Clock, Entropy, Hubs, Store
from accredit.observe import log

BUILT_IN = "BuiltIn"
CUT = "the device was revoked"
_PAGE = 500

Cut = Callable[[str, DeviceId, str], bool]
"""Ends the live connection of a device at the hub with this key, for a reason; False where there is none."""


def _nobody(_hub: str, _device_id: DeviceId, _reason: str) -> bool:
    return False


def _nothing() -> None:
    """There is nobody to wake."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a revocation does beside the store: `cut` ends connections, `wake` tells that outside CAs are to be told."""

    cut: Cut = _nobody
    wake: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """`settled` is False where its CA has still to be told."""

    record: CertificateRecord
    settled: bool


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
        store, now = self.store, int(self.clock.now())
        registration = await self._registration(registration_id)
        enrollment = await store.enrollment(registration.enrollment)
        off = enrollment if enrollment is not None and enrollment.kind is EnrollmentKind.INDIVIDUAL else None
        certificates = await self._certificates(registration_id)
        hub, identity = await self._identity(registration)
        ended = replace(
            registration,
            status=Status.DISABLED,
            error_message=f"revoked: {reason.value}",
            etag=names.etag(self.entropy),
            updated_at=now,
        )
        unit: list[Change] = [SaveRegistration(ended, registration.etag)]
        if off is not None and off.enabled:
            etag = names.etag(self.entropy)
            unit.append(SaveEnrollment(replace(off, enabled=False, etag=etag, updated_at=now), off.etag))
        open_one = await store.open_operation(registration_id)
        if open_one is not None:
            unit.append(SupersedeOperation(open_one.id, open_one.registration_id))
        for each in certificates:
            record = each.record
            unit.append(RevokeCertificate(record.issued.sha256, now, reason, ca_knows=each.settled))
            unit.append(AppendLeaf(revocation_leaf(record.authority, record.issued.sha256, now)))
        unit += self._switched_off(hub, identity, registration, reason, now)
        await store.commit(unit)
        return Receipt(ended, reason, now, off, certificates, hub, connection_cut=False)

    async def _certificates(self, registration_id: RegistrationId) -> tuple[RevokedCertificate, ...]:
        """What has to be revoked: everything that is neither revoked nor past its end."""
        now = int(self.clock.now())
        ours: dict[str, bool] = {}
        found: list[RevokedCertificate] = []
        cursor = None
        while True:
            page = await self.store.certificates(registration_id, cursor, _PAGE)
            for record in page.rows:
                if record.status is CertificateStatus.REVOKED or record.issued.not_after < now:
                    continue
                key = record.authority.key
                if key not in ours:
                    authority = await self.store.authority(record.authority)
                    ours[key] = authority is None or authority.type == BUILT_IN
                found.append(RevokedCertificate(record, ours[key]))
            cursor = page.cursor
            if cursor is None:
                return tuple(found)

    async def _identity(self, registration: Registration) -> tuple[LinkedHub | None, HubDevice | None]:
        if registration.hub is None:
            return None, None
        linked = await self.hubs.linked()
        hub = next((each for each in linked if each.name.lower() == (registration.hub or "").lower()), None)
        if hub is None or hub.kind is not HubKind.EMBEDDED:
            return hub, None
        return hub, await self.store.hub_device(hub.key, registration.device_id)

    def _switched_off(
        self,
        hub: LinkedHub | None,
        identity: HubDevice | None,
        registration: Registration,
        reason: RevocationReason,
        now: int,
    ) -> Sequence[Change]:
        if hub is None:
            return ()
        if hub.kind is not HubKind.EMBEDDED:
            # It is removed there as soon as that hub answers.
            return (ReleaseLater(Release(hub.key, registration.device_id, now)),)
        if identity is None:
            return ()
        off = replace(
            identity,
            enabled=False,
            status_reason=f"revoked: {reason.value}",
            etag=names.etag(self.entropy),
            updated_at=now,
        )
        return (ReplaceHubDevice(off, identity.etag), CutSession(hub.key, registration.device_id, CUT))

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
        _, identity = await self._identity(registration)
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
