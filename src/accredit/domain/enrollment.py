"""Enrollments: who may register, how it proves itself, and what it gets (service API models of DPS)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from accredit.domain.ids import (
    AuthorityName,
    CaCertificateName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey
from accredit.values import dataclass, field


class EnrollmentKind(StrEnum):
    INDIVIDUAL = "individual"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class EnrollmentRef:
    """Names one enrollment; `key` is the id without regard to case."""

    kind: EnrollmentKind
    key: str


@dataclass(frozen=True, slots=True)
class SymmetricKeys:
    """`attestation.symmetricKey`, decoded: a device's own keys, or a group's master keys. 16 to 64 bytes each."""

    primary: Secret
    secondary: Secret


@dataclass(frozen=True, slots=True)
class LeafCertificates:
    """`attestation.x509.clientCertificates`: DER of the device's own certificate, and of its successor."""

    primary: bytes
    secondary: bytes | None = None


@dataclass(frozen=True, slots=True)
class SigningCertificates:
    """`attestation.x509.signingCertificates`: DER of the root or intermediate that signs a group's devices."""

    primary: bytes
    secondary: bytes | None = None


@dataclass(frozen=True, slots=True)
class TpmKeys:
    """`attestation.tpm`, of individual enrollments only. The endorsement key is what a device is held against.

    Azure: a storage root key may be named too; the one that the device presents counts, since clearing a TPM makes a new one.
    """

    endorsement: TpmKey
    storage_root: TpmKey | None = None


@dataclass(frozen=True, slots=True)
class CaReferences:
    """`attestation.x509.caReferences`: the names of uploaded CA certificates that stand above a device's, or a group's devices'."""

    primary: CaCertificateName
    secondary: CaCertificateName | None = None

    @property
    def names(self) -> tuple[CaCertificateName, ...]:
        return (self.primary,) if self.secondary is None else (self.primary, self.secondary)


Attestation = SymmetricKeys | LeafCertificates | SigningCertificates | CaReferences | TpmKeys


@dataclasses.dataclass(frozen=True, slots=True)
class ReprovisionPolicy:
    """`stated` is False where the enrollment says nothing of it, and the defaults stand."""

    update_hub_assignment: bool = True
    migrate_device_data: bool = True
    stated: bool = dataclasses.field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One individual enrollment or enrollment group.

    `generation` is made when the enrollment is created and survives replaces: a certificate issued under an earlier
    enrollment of the same name is never given back under a later one. `settings` keeps the members of the service
    document that have no column of their own (`optionalDeviceInformation`, `customAllocationDefinition`, ...), by their
    wire names; `secrets` what must not be read back of them. Instants are Unix seconds.
    """

    id: RegistrationId | GroupId
    attestation: Attestation
    generation: str
    etag: str
    created_at: int
    updated_at: int
    enabled: bool = True
    device_id: DeviceId | None = None
    authority: AuthorityName | None = None
    allocation_policy: str = "hashed"
    hubs: tuple[str, ...] = ()
    reprovision: ReprovisionPolicy = ReprovisionPolicy()
    iot_edge: bool = False
    initial_twin: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def kind(self) -> EnrollmentKind:
        return EnrollmentKind.GROUP if isinstance(self.id, GroupId) else EnrollmentKind.INDIVIDUAL

    @property
    def trust_bundle(self) -> TrustBundleName | None:
        """`trustBundleId`: what its devices are told to trust."""
        text = self.settings.get("trustBundleId")
        return None if text is None else TrustBundleName(text, text.lower())

    @property
    def authorities(self) -> tuple[AuthorityName, ...]:
        """Who may sign, in the order in which they are asked: `authority` first (`certificateAuthorityNames`)."""
        texts = self.settings.get("certificateAuthorityNames")
        if texts is None:
            return () if self.authority is None else (self.authority,)
        return tuple(AuthorityName(text, text.lower()) for text in texts)

    @property
    def profile(self) -> CertificateProfileName | None:
        """`certificateProfileName`: what its devices' certificates look like; None is the default profile."""
        text = self.settings.get("certificateProfileName")
        return None if text is None else CertificateProfileName(text, text.lower())

    @property
    def named(
        self,
    ) -> tuple[AuthorityName | TrustBundleName | CaCertificateName | CertificateProfileName, ...]:
        """What must be there as long as the enrollment is, beside the authority that is asked first."""
        bundle = () if self.trust_bundle is None else (self.trust_bundle,)
        profile = () if self.profile is None else (self.profile,)
        return (
            *self.authorities[1:],
            *bundle,
            *profile,
            *(self.attestation.names if isinstance(self.attestation, CaReferences) else ()),
        )

    @property
    def ref(self) -> EnrollmentRef:
        return EnrollmentRef(self.kind, self.id.key)
