"""Does a certificate that was issued here still prove a renewal of its device's?

It must be bound to the device, neither revoked nor replaced, and good now or, where the operator allows it, ended a short
while ago: an expired certificate opens nothing but the way to its successor. TLS has proven possession of its key; who
signed it does not matter, since what counts is that it is on record.
"""

from __future__ import annotations

from accredit.domain.credential import CertificateRecord, CertificateStatus
from accredit.domain.errors import Unauthenticated
from accredit.domain.ids import RegistrationId

_BOUND = (CertificateStatus.PENDING, CertificateStatus.ACTIVE)


def judge(record: CertificateRecord | None, registration_id: RegistrationId, now: int, grace_s: int) -> None:
    """Raise Unauthenticated unless the certificate on record is the device's own and good for a renewal."""
    if record is None or record.registration_id != registration_id:
        whose = "never issued here" if record is None else f"issued to {record.registration_id}"
        raise _refusal("held-certificate-unknown", whose)
    issued = record.issued
    life = f"good from {issued.not_before} to {issued.not_after}, now {now}"
    seen = f"serial {issued.serial:X}, {record.status}, {life}"
    if record.status not in _BOUND:
        raise _refusal("held-certificate-replaced", seen)
    if not issued.not_before <= now <= issued.not_after + grace_s:
        raise _refusal("held-certificate-expired", f"{seen}, grace {grace_s} s")


def _refusal(rule: str, evidence: str) -> Unauthenticated:
    return Unauthenticated("Unauthorized", rule=rule, evidence=evidence)
