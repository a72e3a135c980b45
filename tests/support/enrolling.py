"""Enrollments as tests need them again and again, made through the service API."""

from __future__ import annotations

from typing import Any

from accredit.domain.tpm import TpmKey
from accredit.wire import tpm
from support.running_service import RunningService


def issuing(authority: str = "builtin") -> dict[str, Any]:
    """The members of an enrollment whose devices get certificates."""
    return {"clientCertificateIssuancePolicy": {"certificateAuthorityName": authority}}


def symmetric_individual(service: RunningService, registration_id: str, **members: Any) -> str:
    """The primary key of a new enrollment, or of the one that is there."""
    answer = service.put(
        f"/enrollments/{registration_id}",
        {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}, **members},
    )
    return str(answer["attestation"]["symmetricKey"]["primaryKey"])


def symmetric_group(service: RunningService, group: str, which: str = "primaryKey", **members: Any) -> str:
    """A master key of a new group, or of the one that is there."""
    answer = service.put(
        f"/enrollmentGroups/{group}",
        {"enrollmentGroupId": group, "attestation": {"type": "symmetricKey"}, **members},
    )
    return str(answer["attestation"]["symmetricKey"][which])


def x509_individual(service: RunningService, registration_id: str, certificate: str, **members: Any) -> None:
    attestation = {
        "type": "x509",
        "x509": {"clientCertificates": {"primary": {"certificate": certificate}}},
    }
    service.put(
        f"/enrollments/{registration_id}",
        {"registrationId": registration_id, "attestation": attestation, **members},
    )


def x509_group(service: RunningService, group: str, certificate: str, **members: Any) -> None:
    attestation = {
        "type": "x509",
        "x509": {"signingCertificates": {"primary": {"certificate": certificate}}},
    }
    service.put(
        f"/enrollmentGroups/{group}",
        {"enrollmentGroupId": group, "attestation": attestation, **members},
    )


def tpm_individual(
    service: RunningService, registration_id: str, endorsement: TpmKey, **members: Any
) -> None:
    attestation = {"type": "tpm", "tpm": {"endorsementKey": tpm.text_of(endorsement)}}
    service.put(
        f"/enrollments/{registration_id}",
        {"registrationId": registration_id, "attestation": attestation, **members},
    )
