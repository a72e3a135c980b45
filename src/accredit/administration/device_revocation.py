"""What has to change in the store for one device to be revoked: a plan, which whoever asked for it commits.

Its enrollment off (an individual one; of a group the device alone), its certificates revoked, its identity at the hub
off, what is under way ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accredit.administration import names
from accredit.domain.changes import (
    AppendLeaf,
    Change,
    CutSession,
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
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.issuance_log import revocation_leaf
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.registration import Registration, Status
from accredit.domain.release import Release
from accredit.interfaces import Clock, Entropy, Hubs, Store
from accredit.values import dataclass, replace

BUILT_IN = "BuiltIn"
CUT = "the device was revoked"
_PAGE = 500
_OPENS_A_HUB = (CertificateStatus.PENDING, CertificateStatus.ACTIVE)


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """`settled` is False where its CA has still to be told."""

    record: CertificateRecord
    settled: bool


@dataclass(frozen=True, slots=True)
class Act:
    """Why certificates are revoked, when (Unix seconds), and as a part of which mass revocation, if any."""

    reason: RevocationReason
    at: int
    mass_revocation: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`hub` is where the device is, None where it is nowhere. `identities` open no hub any more.

    `connections` are the hubs' keys and device ids whose connections are to be cut once the changes stand.
    """

    changes: tuple[Change, ...]
    certificates: tuple[RevokedCertificate, ...]
    registration: Registration | None = None
    enrollment: Enrollment | None = None
    hub: LinkedHub | None = None
    identities: tuple[HubDevice, ...] = ()
    connections: tuple[tuple[str, DeviceId], ...] = ()
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceRevocation:
    """Reads, and plans; it commits nothing."""

    store: Store
    clock: Clock
    entropy: Entropy
    hubs: Hubs

    async def whole(self, registration: Registration, act: Act) -> Plan:
        """Everything of the device."""
        certificates = await self.certificates(registration.registration_id)
        return await self._planned(registration, certificates, act)

    async def signed_by(
        self,
        registration_id: RegistrationId,
        covers: Callable[[CertificateRecord], bool],
        act: Act,
        *,
        keeps_device: bool,
    ) -> Plan:
        """The certificates that `covers` names; the device too where nothing else of it is good, unless it is kept."""
        found = await self.certificates(registration_id)
        certificates = tuple(each for each in found if covers(each.record))
        if not certificates:
            return Plan((), ())
        others = any(each.record.status in _OPENS_A_HUB and each not in certificates for each in found)
        registration = await self.store.registration(registration_id)
        if registration is not None and not (keeps_device or others):
            return await self._planned(registration, certificates, act)
        # A registration that was deleted leaves certificates and identity behind.
        identities = await self._identities(certificates[0].record)
        changes = _revoked(certificates, act)
        connections = tuple((each.hub, each.device_id) for each in identities)
        if keeps_device or others:
            return Plan(tuple(changes), certificates, connections=connections)
        off = [self._off(each, act) for each in identities]
        return Plan((*changes, *off), certificates, identities=identities, connections=connections)

    async def certificates(self, registration_id: RegistrationId) -> tuple[RevokedCertificate, ...]:
        """What can be revoked: everything that is neither revoked nor past its end."""
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
                    ours[key] = authority is not None and authority.type == BUILT_IN
                found.append(RevokedCertificate(record, ours[key]))
            cursor = page.cursor
            if cursor is None:
                return tuple(found)

    async def identity(self, registration: Registration) -> tuple[LinkedHub | None, HubDevice | None]:
        """Where the device is, and its identity there when that hub is ours."""
        if registration.hub is None:
            return None, None
        linked = await self.hubs.linked()
        named = next((each for each in linked if each.name.lower() == (registration.hub or "").lower()), None)
        if named is not None and named.kind is not HubKind.EMBEDDED:
            return named, None
        # A hub may have been renamed since the device was assigned to it: its identities are under it all the same.
        for hub in [each for each in linked if each.kind is HubKind.EMBEDDED and named in (None, each)]:
            identity = await self.store.hub_device(hub.key, registration.device_id)
            if named is not None or (identity and identity.registration_id == registration.registration_id):
                return hub, identity
        return None, None

    async def _identities(self, record: CertificateRecord) -> tuple[HubDevice, ...]:
        """At our hubs, of the registration that the certificate was issued to."""
        embedded = [each for each in await self.hubs.linked() if each.kind is HubKind.EMBEDDED]
        found = [await self.store.hub_device(hub.key, record.device_id) for hub in embedded]
        return tuple(
            each for each in found if each is not None and each.registration_id == record.registration_id
        )

    async def _planned(
        self, registration: Registration, certificates: tuple[RevokedCertificate, ...], act: Act
    ) -> Plan:
        ended = replace(
            registration,
            status=Status.DISABLED,
            error_message=f"revoked: {act.reason.value}",
            etag=names.etag(self.entropy),
            updated_at=act.at,
        )
        unit: list[Change] = [SaveRegistration(ended, registration.etag)]
        enrollment = await self.store.enrollment(registration.enrollment)
        off = enrollment if enrollment is not None and enrollment.kind is EnrollmentKind.INDIVIDUAL else None
        if off is not None and off.enabled:
            etag = names.etag(self.entropy)
            unit.append(SaveEnrollment(replace(off, enabled=False, etag=etag, updated_at=act.at), off.etag))
        open_one = await self.store.open_operation(registration.registration_id)
        if open_one is not None:
            unit.append(SupersedeOperation(open_one.id, open_one.registration_id))
        unit += _revoked(certificates, act)
        hub, identity = await self.identity(registration)
        connections: tuple[tuple[str, DeviceId], ...] = ()
        if hub is not None:
            connections = ((hub.key, registration.device_id),)
            if hub.kind is not HubKind.EMBEDDED:
                # It is removed there as soon as that hub answers.
                unit.append(ReleaseLater(Release(hub.key, registration.device_id, act.at)))
        if identity is not None:
            unit.append(self._off(identity, act))
            if act.mass_revocation is None:
                # Every process knows of a mass revocation itself, and cuts whom it covers.
                unit.append(CutSession(identity.hub, identity.device_id, CUT))
        return Plan(
            tuple(unit),
            certificates,
            ended,
            off,
            hub,
            () if identity is None else (identity,),
            connections,
            None if open_one is None else open_one.id,
        )

    def _off(self, identity: HubDevice, act: Act) -> Change:
        off = replace(
            identity,
            enabled=False,
            status_reason=f"revoked: {act.reason.value}",
            etag=names.etag(self.entropy),
            updated_at=act.at,
        )
        return ReplaceHubDevice(off, identity.etag)


def _revoked(certificates: Sequence[RevokedCertificate], act: Act) -> Sequence[Change]:
    unit: list[Change] = []
    for each in certificates:
        record, sha256 = each.record, each.record.issued.sha256
        unit.append(RevokeCertificate(sha256, act.at, act.reason, each.settled, act.mass_revocation))
        unit.append(AppendLeaf(revocation_leaf(record.authority, sha256, act.at)))
    return unit
