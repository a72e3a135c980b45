"""What a unit of work may change. A unit is a sequence of these; the store commits all of a unit or nothing.

Each change says what it expects to find. When that is not so, the unit is undone and the store raises
`interfaces.Stale` with the change that failed. `replaces` is the etag of the row that is replaced, or None where
there must be none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accredit.domain.access import Policy, Realm
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ca_certificate import CaCertificate
from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.credential import CertificateRecord, RevocationReason
from accredit.domain.custody import LostOrder
from accredit.domain.device import DeviceData, HubDevice, SaveReported, TwinVersions
from accredit.domain.enrollment import Enrollment, EnrollmentRef
from accredit.domain.ids import (
    AuthorityName,
    CaCertificateName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.issuance_log import Leaf
from accredit.domain.lease import Lease
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.mass_revocation import AdvanceMassRevocation, BeginMassRevocation
from accredit.domain.merkle import Node
from accredit.domain.one_time_password import OneTimePassword
from accredit.domain.registration import Operation, Registration
from accredit.domain.release import Release
from accredit.domain.reserved_serials import LoseSerial, ReleaseSerials, ReserveSerials
from accredit.domain.secret import Secret
from accredit.domain.setback import Setbacks
from accredit.domain.tpm import TpmProof
from accredit.domain.trace import DecisionTrace
from accredit.domain.tree_head import TreeHead
from accredit.domain.trust_bundle import TrustBundle
from accredit.domain.witness import Witnessed
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class SaveState:
    """One named secret of the service itself (its root key, its id scope). `replaces` compares the old value."""

    name: str
    value: Secret
    replaces: Secret | None


@dataclass(frozen=True, slots=True)
class SavePolicy:
    """Stale also when it takes ServiceConfig from the last policy that has it."""

    policy: Policy
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    """Stale also when no other policy has ServiceConfig, and this one does."""

    realm: Realm
    name: str
    etag: str


@dataclass(frozen=True, slots=True)
class SaveAuthority:
    authority: AuthorityRecord
    replaces: str | None


@dataclass(frozen=True, slots=True)
class DeleteAuthority:
    """Stale also when an enrollment names the authority."""

    name: AuthorityName
    etag: str


@dataclass(frozen=True, slots=True)
class SaveTrustBundle:
    bundle: TrustBundle
    replaces: str | None


@dataclass(frozen=True, slots=True)
class DeleteTrustBundle:
    """Stale also when an enrollment names the bundle."""

    name: TrustBundleName
    etag: str


@dataclass(frozen=True, slots=True)
class SaveCertificateProfile:
    record: CertificateProfile
    replaces: str | None


@dataclass(frozen=True, slots=True)
class DeleteCertificateProfile:
    """Stale also when an enrollment names the profile."""

    name: CertificateProfileName
    etag: str


@dataclass(frozen=True, slots=True)
class SaveCaCertificate:
    certificate: CaCertificate
    replaces: str | None


@dataclass(frozen=True, slots=True)
class DeleteCaCertificate:
    """Stale also when an enrollment refers to it."""

    name: CaCertificateName
    etag: str


@dataclass(frozen=True, slots=True)
class AssertCaCertificate:
    """Changes nothing; holds only while the uploaded CA certificate has this etag."""

    name: CaCertificateName
    etag: str


@dataclass(frozen=True, slots=True)
class SaveEnrollment:
    """Stale also when something that it names (`Enrollment.named`) is not there."""

    enrollment: Enrollment
    replaces: str | None


@dataclass(frozen=True, slots=True)
class DeleteEnrollment:
    """Deleting an individual enrollment deletes its registration too, unless a group owns that; a group's registrations stay."""

    ref: EnrollmentRef
    etag: str


@dataclass(frozen=True, slots=True)
class AssertEnrollment:
    """Changes nothing; holds only while the enrollment has this etag."""

    ref: EnrollmentRef
    etag: str


@dataclass(frozen=True, slots=True)
class AssertAuthority:
    """Changes nothing; holds only while the authority has this version."""

    name: AuthorityName
    version: str


@dataclass(frozen=True, slots=True)
class SaveRegistration:
    registration: Registration
    replaces: str | None


@dataclass(frozen=True, slots=True)
class DeleteRegistration:
    """Also ends the registration's open operations (superseded). Certificates and bindings stay."""

    registration_id: RegistrationId
    etag: str


@dataclass(frozen=True, slots=True)
class SaveTpmProof:
    """Upsert what the registration's TPM proved last. It goes when the registration is deleted."""

    registration_id: RegistrationId
    proof: TpmProof


@dataclass(frozen=True, slots=True)
class RecordCertificate:
    """Insert a certificate. Stale when its serial is taken at that authority, or, unless `shared_key`, its key is another registration's."""

    record: CertificateRecord
    shared_key: bool


@dataclass(frozen=True, slots=True)
class AppendLeaf:
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class RevokeCertificate:
    """Stale when it is revoked already. `ca_knows` where its CA is ours, and has nothing to be told.

    `mass_revocation` is the one that it is a part of, if any.
    """

    sha256: bytes
    revoked_at: int
    reason: RevocationReason
    ca_knows: bool
    mass_revocation: str | None = None


@dataclass(frozen=True, slots=True)
class SettleRevocation:
    """The CA that issued a revoked certificate has it revoked, or, when it is `unable`, never will. Stale when it is settled."""

    sha256: bytes
    told_at: int
    unable: bool = False


@dataclass(frozen=True, slots=True)
class GrowLogTree:
    """Give leaves their places behind the first `size`, keep the whole subtrees and the new head. Stale at another size."""

    size: int
    leaf_ids: Sequence[int]
    nodes: Mapping[Node, bytes]
    head: TreeHead


@dataclass(frozen=True, slots=True)
class WatchLostOrder:
    """Look an order up again later; one of the same operation and authority is watched already once there is one."""

    order: LostOrder


@dataclass(frozen=True, slots=True)
class LookAgain:
    """An order was looked up so many times; the next look is then, or never. Stale when it is not watched."""

    operation_id: str
    authority: AuthorityName
    looks: int
    next_look_at: int | None


@dataclass(frozen=True, slots=True)
class RecordWitnessed:
    """Remember that a witness has taken the head of a size; twice is as once."""

    witnessed: Witnessed


@dataclass(frozen=True, slots=True)
class SaveHubDevice:
    """Upsert, by a registration. Stale when the device id belongs to another registration at that hub.

    generation_id, created_at, enabled and its reason of an existing row stay, and, with `keeps_data`, tags, desired
    properties and capability too. One that was made by hand becomes the registration's.
    """

    device: HubDevice
    keeps_data: bool = False


@dataclass(frozen=True, slots=True)
class ReplaceHubDevice:
    """Insert an identity (`replaces` is None), or replace the one with that etag; its twin's data and registration stay."""

    device: HubDevice
    replaces: str | None


@dataclass(frozen=True, slots=True)
class SaveTwin:
    """Replace the tags and desired properties of an identity's twin. Stale unless its twin etag is `replaces`."""

    hub: str
    device_id: DeviceId
    data: DeviceData
    versions: TwinVersions
    replaces: int


@dataclass(frozen=True, slots=True)
class DeleteHubDevice:
    """Delete an identity with its twin: the one with this etag (else Stale), or that of this registration, if it is there."""

    hub: str
    device_id: DeviceId
    etag: str | None = None
    registration_id: RegistrationId | None = None


@dataclass(frozen=True, slots=True)
class CutSession:
    """Have every process end the connection that the device has at an embedded hub, if it has one there."""

    hub: str
    device_id: DeviceId
    reason: str


@dataclass(frozen=True, slots=True)
class SaveLinkedHub:
    hub: LinkedHub
    replaces: str | None


@dataclass(frozen=True, slots=True)
class DeleteLinkedHub:
    """Stale also when an enrollment names the hub, a registration is assigned to it, or it has devices of its own.

    What was to be removed there is forgotten.
    """

    hub: LinkedHub


@dataclass(frozen=True, slots=True)
class ReleaseLater:
    """Put a device into the outbox, in the unit that moves it away from a hub elsewhere; twice is as once."""

    release: Release


@dataclass(frozen=True, slots=True)
class SettleRelease:
    """Take a device out of the outbox: it is gone from the hub, or is assigned to it by this unit. No entry is no error."""

    hub: str
    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class AssertHub:
    """Changes nothing; holds only while a hub with this key is linked. The first embedded hub needs no assertion."""

    key: str


@dataclass(frozen=True, slots=True)
class BindCertificate:
    """Make a recorded certificate pending at the device's hub, unless it is pending or active there already.

    Of more than `MAX_PENDING_CERTIFICATES` pending ones the oldest become superseded.
    """

    device_id: DeviceId
    sha256: bytes
    not_before: int
    not_after: int
    bound_at: int


@dataclass(frozen=True, slots=True)
class UseCertificate:
    """First use: this pending certificate becomes active, every certificate of the device bound earlier is retired.

    Stale when it is not pending (or active) any more. Later-bound pending ones stay pending.
    """

    device_id: DeviceId
    sha256: bytes
    used_at: int


@dataclass(frozen=True, slots=True)
class OpenOperation:
    """Insert an operation. A registration has one open operation at most: `supersedes` names the open one that ends by this.

    Stale when that one is not open any more, or when another is.
    """

    operation: Operation
    supersedes: str | None = None


@dataclass(frozen=True, slots=True)
class SaveOperation:
    """Replace an operation's row. Stale when it is no longer open, or its fence is not `fence`."""

    operation: Operation
    fence: int


@dataclass(frozen=True, slots=True)
class SupersedeOperation:
    """End an open operation, whatever it has come to. Stale when it is no longer open."""

    operation_id: str
    registration_id: RegistrationId


@dataclass(frozen=True, slots=True)
class SettleOperation:
    """A superseded operation's order is accounted for: `submitted` ends.

    Stale when there was nothing to account for, or its fence is not `fence`.
    """

    operation_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class AssertOperation:
    """Changes nothing; holds only while the operation, in whatever state, has this fence."""

    operation_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class TakeOperation:
    """Lease an operation that is open, or superseded with an order to account for: its fence becomes `fence` + 1.

    Stale when it is neither, or its fence is not `fence`: another process has taken it.
    """

    operation_id: str
    fence: int
    owner: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class RenewOperations:
    """All leases of operations that `owner` holds end at this instant now; that it holds none is no error."""

    owner: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class TakeLease:
    """Take a lease, or renew it. Stale while it is another owner's and `now`, which is the database's time, is before its end."""

    name: str
    owner: str
    now: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class AssertLease:
    """Changes nothing; holds only while nobody else has taken the lease since its owner did."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class EndLease:
    """Give a lease back; that it is another owner's by now is no error."""

    name: str
    owner: str


@dataclass(frozen=True, slots=True)
class SaveOneTimePassword:
    """Upsert: the enrollment's earlier one ends."""

    password: OneTimePassword


@dataclass(frozen=True, slots=True)
class UseOneTimePassword:
    """Bind the password with this hash to a request. Stale when it is gone, or bound to another one."""

    registration_id: RegistrationId
    sha256: bytes
    request_sha256: bytes
    used_at: int


@dataclass(frozen=True, slots=True)
class SaveTrace:
    """Keep why a proven device was refused: of each registration the newest few."""

    trace: DecisionTrace


@dataclass(frozen=True, slots=True)
class SaveSetbacks:
    """Upsert."""

    setbacks: Setbacks


@dataclass(frozen=True, slots=True)
class EndSetbacks:
    """The device came through, or is let in again; that there were none is no error."""

    registration_id: RegistrationId


@dataclass(frozen=True, slots=True)
class AssertRoom:
    """Changes nothing; holds only while fewer than `most` (1 or more) registrations belong to the group."""

    group: EnrollmentRef
    most: int


@dataclass(frozen=True, slots=True)
class AllowRegistrations:
    """Put these ids on the group's list of those that may prove it; some may stand there."""

    group: GroupId
    registration_ids: tuple[RegistrationId, ...]


@dataclass(frozen=True, slots=True)
class DisallowRegistrations:
    """Take these ids off the group's list; some may not stand there."""

    group: GroupId
    registration_ids: tuple[RegistrationId, ...]


Change = (
    SaveState
    | SavePolicy
    | DeletePolicy
    | SaveAuthority
    | DeleteAuthority
    | SaveTrustBundle
    | DeleteTrustBundle
    | SaveCertificateProfile
    | DeleteCertificateProfile
    | SaveCaCertificate
    | DeleteCaCertificate
    | AssertCaCertificate
    | SaveEnrollment
    | DeleteEnrollment
    | AssertEnrollment
    | AssertAuthority
    | SaveRegistration
    | DeleteRegistration
    | SaveTpmProof
    | RecordCertificate
    | AppendLeaf
    | ReserveSerials
    | ReleaseSerials
    | LoseSerial
    | GrowLogTree
    | RecordWitnessed
    | WatchLostOrder
    | LookAgain
    | RevokeCertificate
    | SettleRevocation
    | BeginMassRevocation
    | AdvanceMassRevocation
    | SaveHubDevice
    | ReplaceHubDevice
    | SaveTwin
    | SaveReported
    | DeleteHubDevice
    | CutSession
    | SaveLinkedHub
    | DeleteLinkedHub
    | AssertHub
    | ReleaseLater
    | SettleRelease
    | BindCertificate
    | UseCertificate
    | OpenOperation
    | SaveOperation
    | SupersedeOperation
    | SettleOperation
    | AssertOperation
    | TakeOperation
    | RenewOperations
    | TakeLease
    | AssertLease
    | EndLease
    | SaveOneTimePassword
    | UseOneTimePassword
    | SaveTrace
    | SaveSetbacks
    | EndSetbacks
    | AssertRoom
    | AllowRegistrations
    | DisallowRegistrations
)
