"""What a store must do: commit units of work, and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from accredit.domain.access import Policy, Realm
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ca_certificate import CaCertificate, Purpose
from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.changes import Change
from accredit.domain.credential import CertificateRecord, Revoked
from accredit.domain.custody import Ending, LostOrder, Orphan
from accredit.domain.device import Binding, HubDevice
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef
from accredit.domain.ids import (
    AuthorityName,
    CaCertificateName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.issuance_log import Leaf, LeafKind, PlacedLeaf
from accredit.domain.lease import Lease
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.mass_revocation import AtAuthority, AuthorityTally, MassRevocation, Portion
from accredit.domain.merkle import Node
from accredit.domain.one_time_password import OneTimePassword
from accredit.domain.registration import Operation, Registration
from accredit.domain.release import Release
from accredit.domain.reserved_serials import ReservedSerial
from accredit.domain.secret import Secret
from accredit.domain.setback import Setbacks
from accredit.domain.tpm import TpmProof
from accredit.domain.trace import DecisionTrace
from accredit.domain.tree_head import TreeHead
from accredit.domain.trust_bundle import TrustBundle
from accredit.domain.witness import Witnessed
from accredit.values import dataclass

Row_co = TypeVar("Row_co", covariant=True)

LAST_KEY = "\x7f"
"""Stands behind every id."""


class Stale(Exception):
    """A unit of work was undone, whole: `change` did not find what it expects."""

    def __init__(self, change: Change) -> None:
        super().__init__(type(change).__name__)
        self.change = change


class StoreUnavailable(Exception):
    """The store can't commit now (disk full, database away): nothing of the unit stands, or it can't be told whether all does."""


class CommitUnknown(StoreUnavailable):
    """The latter: nobody knows yet whether the unit stands, and what is read now may change under the reader. No later commit
    of this process succeeds, or is stale, before it is known."""


def _untold(_: int) -> str:
    raise LookupError("this page does not say what continues it within")


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[Row_co]):
    """Rows of a listing in a stable order; `cursor` continues it, None at its end.

    `after` is what continues it after the row of that number, where the listing can tell.
    """

    rows: Sequence[Row_co]
    cursor: str | None
    after: Callable[[int], str] = dataclasses.field(default=_untold, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HubUsers:
    """What stands in the way of unlinking a hub."""

    registrations: int
    enrollments: int
    identities: int


class Store(Protocol):
    """Reads see everything committed before the call. Raises StoreUnavailable."""

    async def commit(self, unit: Sequence[Change]) -> None:
        """Return when the whole unit is durable; raise Stale or StoreUnavailable when none of it is, and CommitUnknown when
        nobody knows."""
        ...

    async def state(self, name: str) -> Secret | None: ...

    async def policy(self, realm: Realm, name: str) -> Policy | None: ...

    async def policies(self, realm: Realm) -> Sequence[Policy]: ...

    async def policies_page(self, realm: Realm, cursor: str | None, limit: int) -> Page[Policy]:
        """By name."""
        ...

    async def authority(self, name: AuthorityName) -> AuthorityRecord | None: ...

    async def authorities(self, cursor: str | None, limit: int) -> Page[AuthorityRecord]: ...

    async def enrollment(self, ref: EnrollmentRef) -> Enrollment | None: ...

    async def enrollments(
        self, kind: EnrollmentKind, cursor: str | None, limit: int, low: str = "", high: str = LAST_KEY
    ) -> Page[Enrollment]:
        """By id, of those whose id without regard to case lies from `low` to `high`."""
        ...

    async def symmetric_groups(self) -> Sequence[Enrollment]:
        """Every group with symmetric keys, enabled or not, by id."""
        ...

    async def groups_named(self, subject_sha256: Sequence[bytes]) -> Sequence[Enrollment]:
        """The groups one of whose signing certificates, enrolled or referred to, has a subject name with one of these SHA-256s, by id.

        The digest is `policy.chains.subject_sha256`'s. It finds the enrolled certificate above a chain whether or not
        the device sent it.
        """
        ...

    async def enrollments_using(self, name: AuthorityName) -> int:
        """How many enrollments and groups name this authority."""
        ...

    async def enrollments_naming(
        self, name: AuthorityName | TrustBundleName | CaCertificateName | CertificateProfileName
    ) -> int:
        """How many enrollments and groups name this (`Enrollment.named`)."""
        ...

    async def trust_bundle(self, name: TrustBundleName) -> TrustBundle | None: ...

    async def trust_bundles(self, cursor: str | None, limit: int) -> Page[TrustBundle]: ...

    async def certificate_profile(self, name: CertificateProfileName) -> CertificateProfile | None: ...

    async def certificate_profiles(self, cursor: str | None, limit: int) -> Page[CertificateProfile]: ...

    async def ca_certificate(self, name: CaCertificateName) -> CaCertificate | None: ...

    async def ca_certificates(self, cursor: str | None, limit: int) -> Page[CaCertificate]: ...

    async def ca_certificates_named(
        self, subject_sha256s: Sequence[bytes], purpose: Purpose
    ) -> Sequence[CaCertificate]:
        """The uploaded CA certificates, verified or not, whose subject names have these SHA-256s, by name."""
        ...

    async def registration(self, registration_id: RegistrationId) -> Registration | None: ...

    async def registrations(
        self, enrollment: EnrollmentRef | None, cursor: str | None, limit: int
    ) -> Page[Registration]: ...

    async def tpm_proof(self, registration_id: RegistrationId) -> TpmProof | None:
        """What the registration's TPM proved last."""
        ...

    async def registrations_between(
        self, low: str, high: str, cursor: str | None, limit: int
    ) -> Page[Registration]:
        """By id, of those whose id without regard to case lies from `low` to `high`."""
        ...

    async def one_time_password(self, registration_id: RegistrationId) -> OneTimePassword | None:
        """The one that is open for this individual enrollment, or was last."""
        ...

    async def operation(self, operation_id: str) -> Operation | None: ...

    async def open_operation(self, registration_id: RegistrationId) -> Operation | None: ...

    async def renewals(self, registration_id: RegistrationId) -> Sequence[Operation]:
        """The operations that the device asked for over its hub, in whatever state, while they are kept: the newest 8."""
        ...

    async def newest_operation(self, registration_id: RegistrationId) -> Operation | None:
        """The one that was begun last, whatever became of it."""
        ...

    async def open_operations(self) -> Sequence[Operation]: ...

    async def unsettled_operations(self) -> Sequence[Operation]:
        """Every superseded operation whose order may have been signed and is not accounted for."""
        ...

    async def lapsed_operations(self, now: int, limit: int) -> Sequence[Operation]:
        """Operations that are to be gone on with (`changes.TakeOperation`) and whose leases have ended: the first to end
        first, up to `limit` that are open and as many superseded ones."""
        ...

    async def lease(self, name: str) -> Lease | None:
        """Who took it last."""
        ...

    async def forget_operations(self, before: int) -> None:
        """Delete operations that ended and were created before this instant."""
        ...

    async def certificate(self, sha256: bytes) -> CertificateRecord | None: ...

    async def certificates_of_key(self, spki_sha256: bytes) -> Sequence[CertificateRecord]:
        """Every certificate issued for this public key, the newest first (bounded: the newest 16)."""
        ...

    async def serial_known(self, authority: AuthorityName, serial: int) -> bool: ...

    async def certificates_with_serial(self, serial: int) -> Sequence[CertificateRecord]:
        """Every certificate with this serial number, whichever authority issued it (bounded: 16)."""
        ...

    async def certificates(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[CertificateRecord]: ...

    async def leaves(self, cursor: str | None, limit: int) -> Page[Leaf]: ...

    async def endings(self, first_day: int) -> Sequence[Ending]:
        """How many certificates end on which day, from `first_day` (days since 1970) on; costs the same for any fleet."""
        ...

    async def orphans(self, cursor: str | None, limit: int) -> Page[Orphan]:
        """Signatures that serve nobody."""
        ...

    async def is_ordering(self, registration_id: RegistrationId) -> bool:
        """Whether an operation of the registration is open, or one that was superseded is not accounted for."""
        ...

    async def lost_orders(self, due_at: int, limit: int) -> Sequence[LostOrder]:
        """Whose next look is due at this instant, the most overdue first."""
        ...

    # `domain/reserved_serials.py` says what these are.
    async def reserved_serials(self) -> Sequence[ReservedSerial]: ...

    async def lost_serial(self, authority: AuthorityName, serial: int) -> Revoked | None: ...

    async def latest_revocation(self) -> int:
        """Grows with each revocation of any authority's certificate, and each lost serial number."""
        ...

    async def revoked(self, authority: AuthorityName, shard: int, now: int) -> Sequence[Revoked]:
        """What this CRL of the authority's (`CRL_SHARDS`) must list now: certificates, and lost serial numbers."""
        ...

    async def authorities_to_tell(self) -> Sequence[AuthorityName]:
        """Those some of whose certificates are revoked here, and have still to be there."""
        ...

    async def revocations_to_tell(
        self, authority: AuthorityName, cursor: str | None, limit: int
    ) -> Page[CertificateRecord]: ...

    async def mass_revocation(self, revocation_id: str) -> MassRevocation | None: ...

    async def mass_revocations(self, cursor: str | None, limit: int) -> Page[MassRevocation]:
        """As they were begun."""
        ...

    async def open_mass_revocations(self) -> Sequence[MassRevocation]:
        """Those that have not ended, as they stood when one was begun or ended last: `position` may be older."""
        ...

    async def mass_revocation_tallies(self, revocation_id: str) -> Sequence[AuthorityTally]: ...

    async def certificates_revoked_by(
        self, revocation_id: str, cursor: str | None, limit: int
    ) -> Page[tuple[CertificateRecord, AtAuthority]]: ...

    async def rows_to_revoke(self, target: GroupId | AuthorityName) -> int:
        """How many rows a mass revocation of this target looks at."""
        ...

    async def portion_to_revoke(
        self, revocation: MassRevocation, position: str | None, limit: int
    ) -> Portion: ...

    async def covered(
        self, revocation: MassRevocation, registration_ids: Collection[RegistrationId]
    ) -> frozenset[RegistrationId]:
        """Which of these belong to the group, or are let in by a certificate that is to be revoked."""
        ...

    async def unplaced_leaves(self, limit: int) -> Sequence[PlacedLeaf]:
        """The oldest leaves that have no place in the tree yet, in the order in which they get one."""
        ...

    async def placed_leaves(self, start: int, limit: int) -> Sequence[PlacedLeaf]:
        """Leaves from this place on."""
        ...

    async def placed_leaf(self, sha256: bytes, kind: LeafKind | None = None) -> PlacedLeaf | None:
        """The first leaf, of this kind, about this certificate (or CSR), by its SHA-256, that has its place."""
        ...

    async def log_nodes(self, nodes: Collection[Node]) -> Mapping[Node, bytes]:
        """The hashes of these whole subtrees (`domain/merkle.py`), as far as they are there."""
        ...

    async def tree_head(self, size: int | None = None) -> TreeHead | None:
        """The newest head, or the one of this size."""
        ...

    async def witnessed(self, witness: str, limit: int) -> Sequence[Witnessed]:
        """Which heads this witness has taken, the largest first."""
        ...

    async def linked_hubs(self) -> Sequence[LinkedHub]:
        """What the operator linked, by key; the first embedded hub is among them only where its settings were changed."""
        ...

    async def hub_users(self, hub: LinkedHub) -> HubUsers: ...

    async def hub_device(self, hub: str, device_id: DeviceId) -> HubDevice | None:
        """`hub` is an embedded hub's key."""
        ...

    async def hub_devices(self, hub: str, limit: int) -> Sequence[HubDevice]:
        """The first ones by device id."""
        ...

    async def hub_device_counts(self, hub: str) -> tuple[int, int]:
        """How many identities the hub has, and how many of them are enabled."""
        ...

    async def releases(self, limit: int) -> Sequence[Release]:
        """The oldest entries of the outbox."""
        ...

    async def release_due(self, hub: str, device_id: DeviceId) -> bool:
        """Whether this entry is in the outbox."""
        ...

    async def bindings(self, registration_id: RegistrationId, device_id: DeviceId) -> Sequence[Binding]:
        """The certificates of this registration for this device that are pending or active, and those retired, the
        newest binding first. They are good at whichever hub has the registration's identity."""
        ...

    async def trace(self, tracking_id: str) -> DecisionTrace | None: ...

    async def traces(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[DecisionTrace]: ...

    async def forget_refusals(self, before: int, most: int) -> None:
        """Delete traces, and setbacks without a pause, of before this instant, and the oldest of more than `most` traces."""
        ...

    async def setbacks(self, registration_id: RegistrationId) -> Setbacks | None:
        """Costs nothing while no device at all has any."""
        ...

    async def allows(self, group: GroupId, registration_id: RegistrationId) -> bool:
        """Whether the id stands on the group's list."""
        ...

    async def allowed(self, group: GroupId, cursor: str | None, limit: int) -> Page[RegistrationId]: ...

    async def close(self) -> None: ...
