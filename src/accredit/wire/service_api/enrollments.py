"""IndividualEnrollment and EnrollmentGroup documents (DPS service API, all versions).

Members that a client only wants echoed are kept in `settings`; members nobody knows are dropped, as Azure does,
except inside `clientCertificateIssuancePolicy`, where a slip of the pen would cost a device its certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from accredit.domain import allocation as stated
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef, ReprovisionPolicy
from accredit.domain.errors import Malformed
from accredit.domain.id_pattern import id_pattern
from accredit.domain.ids import (
    AuthorityName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.registration import Registration
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.instants import iso
from accredit.wire.service_api.allocation import (
    AllocationSent,
    ClauseDocument,
    WebhookDocument,
    read_allocation,
    read_policy,
    read_twin,
)
from accredit.wire.service_api.attestations import (
    AttestationDocument,
    AttestationSent,
    attestation_document,
    read_attestation,
)
from accredit.wire.service_api.documents import free_form, read
from accredit.wire.service_api.etags import quoted
from accredit.wire.service_api.quotas import QuotaDocument, quota_settings
from accredit.wire.service_api.registrations import registration_document

MAX_HUBS = 50

_PROFILE = "certificateProfileName"
_AUTHORITIES = "certificateAuthorityNames"
"""Members of `clientCertificateIssuancePolicy`, kept beside it."""

MAX_AUTHORITIES = 5

_RESERVED_IDS = frozenset({"query"})


@dataclass(frozen=True, slots=True)
class EnrollmentSent:
    """One PUT document, checked as far as it can be without looking anything up."""

    id: RegistrationId | GroupId
    attestation: AttestationSent
    enabled: bool
    device_id: DeviceId | None
    authority: AuthorityName | None
    allocation_policy: str
    hubs: tuple[str, ...]
    reprovision: ReprovisionPolicy
    iot_edge: bool
    initial_twin: dict[str, Any] | None
    settings: dict[str, Any]
    secrets: Mapping[str, Secret]

    @property
    def kind(self) -> EnrollmentKind:
        return EnrollmentKind.GROUP if isinstance(self.id, GroupId) else EnrollmentKind.INDIVIDUAL

    @property
    def ref(self) -> EnrollmentRef:
        return EnrollmentRef(self.kind, self.id.key)


class _Capabilities(msgspec.Struct, rename="camel"):
    iot_edge: bool | None = None


class _Reprovision(msgspec.Struct, rename="camel"):
    update_hub_assignment: bool | None = None
    migrate_device_data: bool | None = None


class _Issuance(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    certificate_authority_name: str | None = None
    certificate_authority_names: list[str] | None = None
    certificate_profile_name: str | None = None


class EnrollmentDocument(msgspec.Struct, rename="camel"):
    """The body of a PUT, of either kind."""

    registration_id: str | None = None
    enrollment_group_id: str | None = None
    attestation: AttestationDocument | None = None
    device_id: str | None = None
    provisioning_status: str | None = None
    capabilities: _Capabilities | None = None
    reprovision_policy: _Reprovision | None = None
    allocation_policy: str | None = None
    iot_hub_host_name: str | None = None
    iot_hubs: list[str] | None = None
    initial_twin: dict[str, Any] | None = None
    optional_device_information: dict[str, Any] | None = None
    custom_allocation_definition: WebhookDocument | None = None
    pre_registration_webhook: WebhookDocument | None = None
    allocation_rule: list[ClauseDocument] | None = None
    allocation_regions: list[str] | None = None
    client_certificate_issuance_policy: _Issuance | None = None
    trust_bundle_id: str | None = None
    credential_policy_name: str | None = None
    id_pattern: str | None = None
    quota: QuotaDocument | None = None
    allowed_registration_ids_only: bool | None = None


def read_enrollment(body: bytes, name: RegistrationId | GroupId) -> EnrollmentSent:
    """Read the PUT document for the enrollment that the path names."""
    document = read(body, EnrollmentDocument)
    individual = isinstance(name, RegistrationId)
    _check_id(document, name)
    if document.attestation is None:
        raise Malformed("attestation is missing.", rule="attestation-missing")
    kind = EnrollmentKind.INDIVIDUAL if individual else EnrollmentKind.GROUP
    hubs = _hubs(document)
    policy = read_policy(document.allocation_policy, hub_named=bool(document.iot_hub_host_name))
    allocation = _allocation(document, policy)
    return EnrollmentSent(
        id=name,
        attestation=read_attestation(document.attestation, kind),
        enabled=_enabled(document.provisioning_status),
        device_id=DeviceId.parse(document.device_id) if individual and document.device_id else None,
        authority=_authority(document),
        allocation_policy=policy,
        hubs=hubs,
        reprovision=_reprovision(document.reprovision_policy),
        iot_edge=bool(document.capabilities and document.capabilities.iot_edge),
        initial_twin=read_twin(document.initial_twin, "initialTwin"),
        settings={**_settings(document, hubs, individual=individual), **allocation.settings},
        secrets=allocation.secrets,
    )


def enrollment_document(
    enrollment: Enrollment, *, keys_shown: bool = False, registration: Registration | None = None
) -> dict[str, Any]:
    """As answers show it; members without a value are left out."""
    name = "enrollmentGroupId" if enrollment.kind is EnrollmentKind.GROUP else "registrationId"
    settings = enrollment.settings
    from_host_name = enrollment.hubs == (settings.get("iotHubHostName"),)
    members = {
        name: enrollment.id.text,
        "deviceId": enrollment.device_id.text if enrollment.device_id else None,
        "registrationState": registration_document(registration) if registration else None,
        "attestation": attestation_document(enrollment.attestation, keys_shown=keys_shown),
        "capabilities": {"iotEdge": enrollment.iot_edge},
        "initialTwin": enrollment.initial_twin,
        "etag": quoted(enrollment.etag),
        "provisioningStatus": "enabled" if enrollment.enabled else "disabled",
        "reprovisionPolicy": {
            "updateHubAssignment": enrollment.reprovision.update_hub_assignment,
            "migrateDeviceData": enrollment.reprovision.migrate_device_data,
        },
        "createdDateTimeUtc": iso(enrollment.created_at),
        "lastUpdatedDateTimeUtc": iso(enrollment.updated_at),
        "allocationPolicy": enrollment.allocation_policy,
        "iotHubs": list(enrollment.hubs) if enrollment.hubs and not from_host_name else None,
        "clientCertificateIssuancePolicy": _issuance(enrollment),
        **settings,
        _PROFILE: None,
        _AUTHORITIES: None,
    }
    return {member: value for member, value in members.items() if value is not None}


def _issuance(enrollment: Enrollment) -> dict[str, Any] | None:
    # Who names a policy alone is shown a policy alone: what was not sent could not be sent back with another name.
    if enrollment.authority is None or "credentialPolicyName" in enrollment.settings:
        return None
    shown: dict[str, Any] = {"certificateAuthorityName": enrollment.authority.text}
    if _AUTHORITIES in enrollment.settings:
        shown[_AUTHORITIES] = enrollment.settings[_AUTHORITIES]
    profile = enrollment.profile
    return shown if profile is None else {**shown, _PROFILE: profile.text}


def _check_id(document: EnrollmentDocument, name: RegistrationId | GroupId) -> None:
    sent = document.registration_id if isinstance(name, RegistrationId) else document.enrollment_group_id
    if sent is None or sent.lower() != name.key:
        raise Malformed(f"{name.noun} in the body is not the one in the address.", rule="id-mismatch")
    if name.key in _RESERVED_IDS:
        raise Malformed(f"{name.key!r} is an address of this API and can't be an id.", rule="id-reserved")


def _authority(document: EnrollmentDocument) -> AuthorityName | None:
    """Azure: a credential policy is a resource that leads to a CA; here its name is the authority's own."""
    issuance, policy = document.client_certificate_issuance_policy, document.credential_policy_name
    text = issuance.certificate_authority_name if issuance else None
    named = None if text is None else AuthorityName.parse(text)
    ordered = _authorities(issuance)
    if ordered and named not in (None, ordered[0]):
        raise Malformed(
            "certificateAuthorityName is not the first of certificateAuthorityNames.", rule="document-invalid"
        )
    named = ordered[0] if ordered else named
    if issuance is not None and named is None and not policy:
        raise Malformed(
            "clientCertificateIssuancePolicy lacks certificateAuthorityName.", rule="document-invalid"
        )
    if not policy:
        return named
    if named not in (None, AuthorityName.parse(policy)):
        raise Malformed(
            "credentialPolicyName and clientCertificateIssuancePolicy name different certificate authorities.",
            rule="credential-policy",
        )
    return AuthorityName.parse(policy)


def _authorities(issuance: _Issuance | None) -> list[AuthorityName]:
    """`certificateAuthorityNames`: in the order in which they are asked."""
    texts = issuance.certificate_authority_names if issuance else None
    if texts is None:
        return []
    names = list(dict.fromkeys(AuthorityName.parse(text) for text in texts[: MAX_AUTHORITIES + 1]))
    if not 1 <= len(names) == len(texts) <= MAX_AUTHORITIES:
        raise Malformed(
            f"certificateAuthorityNames does not name 1 to {MAX_AUTHORITIES} different authorities.",
            rule="document-invalid",
        )
    return names


def _enabled(status: str | None) -> bool:
    if status is None:
        return True
    if status.lower() not in ("enabled", "disabled"):
        raise Malformed("provisioningStatus is not enabled or disabled.", rule="provisioning-status")
    return status.lower() == "enabled"


def _allocation(document: EnrollmentDocument, policy: str) -> AllocationSent:
    webhooks = {
        stated.CUSTOM_ALLOCATION: document.custom_allocation_definition,
        stated.PRE_REGISTRATION: document.pre_registration_webhook,
    }
    return read_allocation(policy, document.allocation_rule, document.allocation_regions, webhooks)


def _hubs(document: EnrollmentDocument) -> tuple[str, ...]:
    """Azure: `iotHubs` is what counts; the older `iotHubHostName` names the only one where that is absent."""
    hubs = document.iot_hubs or ([document.iot_hub_host_name] if document.iot_hub_host_name else [])
    if len(hubs) > MAX_HUBS:
        raise Malformed(f"iotHubs names more than {MAX_HUBS} hubs.", rule="hub-count")
    return tuple(dict.fromkeys(hub.lower() for hub in hubs))


def _reprovision(document: _Reprovision | None) -> ReprovisionPolicy:
    if document is None:
        return ReprovisionPolicy(stated=False)
    return ReprovisionPolicy(
        update_hub_assignment=document.update_hub_assignment is not False,
        migrate_device_data=document.migrate_device_data is not False,
    )


def _settings(document: EnrollmentDocument, hubs: tuple[str, ...], *, individual: bool) -> dict[str, Any]:
    host_name = document.iot_hub_host_name
    issuance, policy = document.client_certificate_issuance_policy, document.credential_policy_name
    echoed = {
        "credentialPolicyName": policy or None,
        "clientCertificateIssuancePolicy": _echoed(issuance) if issuance and policy else None,
        _PROFILE: (
            CertificateProfileName.parse(issuance.certificate_profile_name).text
            if issuance and issuance.certificate_profile_name
            else None
        ),
        _AUTHORITIES: [name.text for name in _authorities(issuance)] or None,
        "iotHubHostName": host_name.lower() if host_name and host_name.lower() in hubs else None,
        "optionalDeviceInformation": (
            free_form(document.optional_device_information, "optionalDeviceInformation")
            if individual
            else None
        ),
        "trustBundleId": TrustBundleName.parse(document.trust_bundle_id).text
        if document.trust_bundle_id
        else None,
        "idPattern": None if individual else _id_pattern(document.id_pattern),
    }
    quota = quota_settings(
        document.quota, allowed_only=document.allowed_registration_ids_only, individual=individual
    )
    return {member: value for member, value in echoed.items() if value is not None} | quota


def _echoed(issuance: _Issuance) -> dict[str, Any]:
    members = {
        "certificateAuthorityName": issuance.certificate_authority_name,
        _AUTHORITIES: issuance.certificate_authority_names,
        _PROFILE: issuance.certificate_profile_name,
    }
    return {member: value for member, value in members.items() if value}


def _id_pattern(text: str | None) -> str | None:
    if not text:
        return None
    id_pattern(text)
    return text
