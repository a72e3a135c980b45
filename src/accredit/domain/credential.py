"""What is asked of an authority, and what came of it. Certificates and keys travel as DER; instants are Unix seconds."""

from __future__ import annotations

from enum import StrEnum

from cryptography import x509

from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId
from accredit.values import dataclass

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
"""id-kp-clientAuth."""

DEVICE_URN = "urn:accredit:device:"


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A CSR that passed the intake rules (RFC 2986; `policy/csr_intake.py` alone makes one).

    `spki_sha256` is the SHA-256 of the SubjectPublicKeyInfo: the key's identity. `field` is the wire field that
    carried the CSR, for messages and for the form of the answer.
    """

    csr: x509.CertificateSigningRequest
    der: bytes
    spki_der: bytes
    spki_sha256: bytes
    csr_sha256: bytes
    field: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What a leaf of the built-in CA looks like beside its common name and key (RFC 5280).

    `subject` stands before the common name, `alternative_names` are its SANs; their texts are templates that
    `policy/profiles.py` fills in. `keys` are the kinds of key that may be certified (`policy/profiles.KINDS`); none
    means whatever the intake takes. Usages and policies are object identifiers. `access` and `distribution`: whether
    the leaf says where OCSP and the issuer, and where its CRL is.
    """

    name: str = "device"
    version: str = "1"
    validity_s: int = 30 * 86_400
    backdate_s: int = 300
    subject: tuple[tuple[str, str], ...] = ()
    alternative_names: tuple[tuple[str, str], ...] = (("uri", DEVICE_URN + "{deviceId}"),)
    extended_key_usages: tuple[str, ...] = (CLIENT_AUTH,)
    policies: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    access: bool = True
    distribution: bool = True

    @property
    def label(self) -> str:
        """How certificates and operations remember it."""
        return f"{self.name}/{self.version}"


DEFAULT_PROFILE = Profile()


@dataclass(frozen=True, slots=True)
class Order:
    """One certificate ordered from an authority.

    `group` is the enrollment group, where the device is enrolled by one. `since` is when the intent was committed: a certificate found at the CA is ours only when it is not older.
    """

    operation_id: str
    registration_id: RegistrationId
    device_id: DeviceId
    request: SigningRequest
    profile: Profile
    since: int
    attempt: int = 1
    group: GroupId | None = None


@dataclass(frozen=True, slots=True)
class IssuedChain:
    """An authority's certificate, checked against the order; `chain` is DER, leaf first, as far up as is known.

    `policy/delivered.py` makes it for an outside CA, `ca/template.py` for our own. `ca_reference` is the CA's own name for it.
    """

    chain: tuple[bytes, ...]
    serial: int
    not_before: int
    not_after: int
    sha256: bytes
    spki_sha256: bytes
    ca_reference: str | None = None

    @property
    def leaf(self) -> bytes:
        return self.chain[0]


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """Unix seconds; `renew_at` lies in the window, which is `opens_at <= instant < closes_at`, or is its one instant."""

    opens_at: int
    closes_at: int
    renew_at: int


class RevocationReason(StrEnum):
    """CRLReason by its names (RFC 5280, section 5.3.1); `code` is its number."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"

    @property
    def code(self) -> int:
        return _REASON_CODES[self]


_REASON_CODES = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.CA_COMPROMISE: 2,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
    RevocationReason.AA_COMPROMISE: 10,
}


CRL_SHARDS = 16
"""A CA's revocations stand on so many CRLs. Fixed: the number of its CRL stands in every leaf, and in the store."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """One entry of a CRL: which serial of its issuer, since when (Unix seconds), and why."""

    serial: int
    revoked_at: int
    reason: RevocationReason


class CertificateStatus(StrEnum):
    """As `cert list` shows it: the binding at the hub, overridden by revocation and by the clock."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    EXPIRED = "expired"
    UNBOUND = "unbound"


STRAY = "stray"
"""The profile of a certificate that a CA signed against the order: on record, never given back, proof of nobody's key."""


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """One certificate of the issuance log, with what it was issued for."""

    issued: IssuedChain
    authority: AuthorityName
    authority_version: str
    profile: str
    registration_id: RegistrationId
    device_id: DeviceId
    enrollment_generation: str
    csr_sha256: bytes
    operation_id: str
    issued_at: int
    status: CertificateStatus = CertificateStatus.UNBOUND
    revocation: Revoked | None = None

    def reusable(self, now: int) -> bool:
        """Whether the same request gets this certificate back: valid, not revoked, before 2/3 of its life is gone."""
        issued = self.issued
        renew_at = issued.not_before + (issued.not_after - issued.not_before) * 2 // 3
        return self.status is not CertificateStatus.REVOKED and issued.not_before <= now < renew_at


@dataclass(frozen=True, slots=True)
class Certified:
    """The device leaves with this certificate; `fresh` when it was issued just now and is not recorded yet."""

    record: CertificateRecord
    fresh: bool


@dataclass(frozen=True, slots=True)
class Presented:
    """The device goes on with what it came with: no certificate was asked for."""


Credential = Certified | Presented
