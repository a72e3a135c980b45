"""What answers look like, for the API's description alone: answers are made as plain documents, member by member.

That these structs tell the truth is checked from outside: every answer that the tests get is held against them.
A member with a default may be missing; one that is not named here may still be there.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ErrorShown(msgspec.Struct, rename="camel"):
    """Every refusal. The HTTP status is `errorCode` divided by 1000."""

    error_code: int
    tracking_id: str
    message: str
    timestamp_utc: str


class CertificateInfoShown(msgspec.Struct, rename="camel"):
    """X509CertificateInfo of DPS."""

    subject_name: str
    sha1_thumbprint: str = msgspec.field(name="sha1Thumbprint")
    sha256_thumbprint: str = msgspec.field(name="sha256Thumbprint")
    issuer_name: str
    not_before_utc: str
    not_after_utc: str
    serial_number: str
    version: int


class AttestationShown(msgspec.Struct, rename="camel"):
    """`symmetricKey` has its keys in the answers of PUT and attestationmechanism alone."""

    type: str
    symmetric_key: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    x509: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    tpm: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class SetbacksShown(msgspec.Struct, rename="camel"):
    """A proven device's failures in a row, and since when it is paused for them."""

    failures: int
    rule: str
    reason: str
    tracking_id: str
    first_date_time_utc: str
    last_date_time_utc: str
    paused_date_time_utc: str | msgspec.UnsetType = msgspec.UNSET


class RegistrationShown(msgspec.Struct, rename="camel"):
    """DeviceRegistrationState of DPS, with the group that the device belongs to."""

    registration_id: str
    created_date_time_utc: str
    last_updated_date_time_utc: str
    device_id: str
    status: str
    etag: str
    assigned_hub: str | msgspec.UnsetType = msgspec.UNSET
    substatus: str | msgspec.UnsetType = msgspec.UNSET
    error_code: int | msgspec.UnsetType = msgspec.UNSET
    error_message: str | msgspec.UnsetType = msgspec.UNSET
    payload: Any = None
    enrollment_group_id: str | msgspec.UnsetType = msgspec.UNSET
    setbacks: SetbacksShown | msgspec.UnsetType = msgspec.UNSET


class _EnrollmentShown(msgspec.Struct, rename="camel"):
    attestation: AttestationShown
    capabilities: dict[str, bool]
    etag: str
    provisioning_status: str
    reprovision_policy: dict[str, bool]
    created_date_time_utc: str
    last_updated_date_time_utc: str
    allocation_policy: str
    iot_hubs: list[str] | msgspec.UnsetType = msgspec.UNSET
    iot_hub_host_name: str | msgspec.UnsetType = msgspec.UNSET
    initial_twin: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    custom_allocation_definition: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    client_certificate_issuance_policy: dict[str, str | list[str]] | msgspec.UnsetType = msgspec.UNSET
    credential_policy_name: str | msgspec.UnsetType = msgspec.UNSET
    trust_bundle_id: str | msgspec.UnsetType = msgspec.UNSET


class IndividualEnrollmentShown(_EnrollmentShown, kw_only=True, rename="camel"):
    """IndividualEnrollment of DPS."""

    registration_id: str
    device_id: str | msgspec.UnsetType = msgspec.UNSET
    optional_device_information: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    registration_state: RegistrationShown | msgspec.UnsetType = msgspec.UNSET


class EnrollmentGroupShown(_EnrollmentShown, kw_only=True, rename="camel"):
    """EnrollmentGroup of DPS."""

    enrollment_group_id: str
    id_pattern: str | msgspec.UnsetType = msgspec.UNSET
    quota: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    allowed_registration_ids_only: bool | msgspec.UnsetType = msgspec.UNSET


class BulkTaken(msgspec.Struct, rename="camel"):
    """BulkEnrollmentOperation of DPS: `enrollments` or `enrollmentGroups`, at most ten."""

    mode: str
    enrollments: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    enrollment_groups: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET


class BulkErrorShown(msgspec.Struct, rename="camel"):
    """What became of one document, and why."""

    error_code: int
    error_status: str
    registration_id: str | msgspec.UnsetType = msgspec.UNSET
    enrollment_group_id: str | msgspec.UnsetType = msgspec.UNSET


class BulkShown(msgspec.Struct, rename="camel"):
    """BulkEnrollmentOperationResult of DPS."""

    is_successful: bool
    errors: list[BulkErrorShown]


class AuthorityShown(msgspec.Struct, rename="camel"):
    """A certificate authority; the settings of its type stand beside these members."""

    name: str
    certificate_authority_type: str
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str


class TrustedCertificateShown(msgspec.Struct):
    """One certificate of a trust bundle, as PEM."""

    certificate: str
    metadata: CertificateInfoShown


class TrustBundleShown(msgspec.Struct, rename="camel"):
    """TrustBundle of the first preview of certificate management."""

    id: str
    certificates: list[TrustedCertificateShown]
    created_date_time: str
    last_modified_date_time: str
    etag: str


class CertificateProfileShown(msgspec.Struct, rename="camel"):
    """A certificate profile; `validityDays`, or `validitySeconds` where that is no whole number of days."""

    name: str
    version: str
    allowed_keys: list[str]
    subject: dict[str, str]
    subject_alternative_names: list[dict[str, str]]
    extended_key_usages: list[str]
    certificate_policies: list[str]
    authority_information_access: bool
    crl_distribution_points: bool
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str
    validity_days: int | msgspec.UnsetType = msgspec.UNSET
    validity_seconds: int | msgspec.UnsetType = msgspec.UNSET


class CaCertificateShown(msgspec.Struct, rename="camel"):
    """An uploaded CA certificate, as PEM. Not verified, it proves nothing."""

    name: str
    certificate: str
    info: CertificateInfoShown
    purpose: str
    is_verified: bool
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str


class VerificationCodeShown(CaCertificateShown, kw_only=True, rename="camel"):
    """With the common name that a certificate needs to prove possession of the CA's key."""

    verification_code: str
    verification_code_expiry_utc: str


class AuthorityTaken(msgspec.Struct, rename="camel"):
    """A certificate authority; the settings of its type stand beside this member."""

    certificate_authority_type: str


class CertificateShown(msgspec.Struct, rename="camel"):
    """One certificate of the issuance log, with its chain as PEM."""

    serial: str
    sha256: str
    authority: str
    registration_id: str
    device_id: str
    status: str
    not_before: str
    not_after: str
    issued_at: str
    enrollment_generation: str
    certificate: str
    revoked_at: str | msgspec.UnsetType = msgspec.UNSET
    revocation_reason: str | msgspec.UnsetType = msgspec.UNSET


class ForecastShown(msgspec.Struct, rename="camel"):
    """One day (UTC): how many certificates that open a hub come to their renewal, and how many end."""

    day: str
    renewals: int
    ends: int


class OrphanShown(msgspec.Struct, rename="camel"):
    """A signature that serves nobody; `sha256` is of the certificate, or of the CSR where nothing more is known.

    Of a serial number that was reserved for a token there is none.
    """

    kind: str
    authority: str
    logged_at: str
    remedy: str
    sha256: str | msgspec.UnsetType = msgspec.UNSET
    watched_until: str | msgspec.UnsetType = msgspec.UNSET
    serial: str | msgspec.UnsetType = msgspec.UNSET
    registration_id: str | msgspec.UnsetType = msgspec.UNSET
    not_after: str | msgspec.UnsetType = msgspec.UNSET
    revoked_at: str | msgspec.UnsetType = msgspec.UNSET
    revoked_at_its_ca: bool | msgspec.UnsetType = msgspec.UNSET


class LeafShown(msgspec.Struct, rename="camel"):
    """One entry of the issuance log."""

    kind: str
    authority: str
    sha256: str
    logged_at: int
    leaf_hash: str


class PolicyShown(msgspec.Struct, rename="camel"):
    """A shared access policy; its keys only in the answers of PUT and rotate."""

    name: str
    rights: list[str]
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str
    primary_key: str | msgspec.UnsetType = msgspec.UNSET
    secondary_key: str | msgspec.UnsetType = msgspec.UNSET


class LinkedHubShown(msgspec.Struct, rename="camel"):
    """`kind` is embedded or azure."""

    name: str
    host_name: str
    kind: str
    allocation_weight: int
    apply_allocation_policy: bool
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str
    location: str | msgspec.UnsetType = msgspec.UNSET
    trust_anchors: str | msgspec.UnsetType = msgspec.UNSET


class TelemetryShown(msgspec.Struct, rename="camel"):
    """One message that a device sent."""

    device_id: str
    body: Any
    properties: dict[str, str]
    system_properties: dict[str, str]
    enqueued_time_utc: str
    sequence_number: int
    auth_method: str
    hub: str


class StepShown(msgspec.Struct, rename="camel"):
    """One thing that was looked at, and what came of it."""

    subject: str
    outcome: str


class TraceShown(msgspec.Struct, rename="camel"):
    """Why one call of a device was refused. `errorCode` is what the device heard."""

    tracking_id: str
    registration_id: str
    traced_date_time_utc: str
    asked: str
    steps: list[StepShown]
    rule: str
    reason: str
    error_code: int
    source: str | msgspec.UnsetType = msgspec.UNSET
    enrollment: str | msgspec.UnsetType = msgspec.UNSET
    evidence: str | msgspec.UnsetType = msgspec.UNSET
    hint: str | msgspec.UnsetType = msgspec.UNSET


class OneTimePasswordShown(msgspec.Struct, rename="camel"):
    """Shown once."""

    registration_id: str
    one_time_password: str
    expires_date_time_utc: str


class AllowedShown(msgspec.Struct, rename="camel"):
    """One registration id that may prove a group."""

    registration_id: str
