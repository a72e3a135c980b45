"""Complete: one unit of work that re-asserts what the decision rested on, and makes everything durable at once."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.changes import (
    AssertAuthority,
    AssertCaCertificate,
    AssertEnrollment,
    AssertRoom,
    Change,
    RecordCertificate,
    SaveHubDevice,
    SaveRegistration,
    UseOneTimePassword,
)
from accredit.domain.credential import Certified
from accredit.domain.errors import AccreditError, Refused
from accredit.domain.evidence import Attested, ProvenChain, ProvenHeld, ProvenOnce
from accredit.domain.receipts import Bound
from accredit.domain.registration import Registration, Status
from accredit.interfaces import Store
from accredit.policy import admission

ROUNDS = 8
"""How often a step starts over when what it read was changed under it, before it gives up."""


async def complete(
    store: Store, bound: Bound, csr_field: str | None, now: int, etag: str, closing: Sequence[Change] = ()
) -> Registration:
    """Commit, and return the registration as it stands then.

    `closing` ends the operation, where there is one. Raises Stale when enrollment, authority, registration or
    operation have changed since they were read: then nothing of the unit stands.
    """
    issued = bound.recorded.issued
    allocated = issued.allocated
    enrollment = allocated.attested.enrollment
    previous = allocated.previous
    certificate = issued.credential.record if isinstance(issued.credential, Certified) else None
    # A renewal is no new assignment: the registration goes on telling of the one that it renews, from whose operation
    # the hub's key of a TPM device was derived.
    assigning = previous if isinstance(allocated.attested.proof, ProvenHeld) else None
    registration = Registration(
        registration_id=allocated.registration_id,
        enrollment=enrollment.ref,
        device_id=allocated.device_id,
        hub=allocated.hub,
        status=Status.ASSIGNED,
        substatus=allocated.substatus if assigning is None else assigning.substatus,
        operation_id=issued.operation_id if assigning is None else assigning.operation_id,
        etag=etag,
        created_at=now if previous is None else previous.created_at,
        updated_at=now,
        payload=allocated.payload,
        certificate_sha256=None if certificate is None else certificate.issued.sha256,
        csr_field=csr_field,
    )
    unit: list[Change] = [AssertEnrollment(enrollment.ref, enrollment.etag)]
    unit += admission.room(allocated.attested, previous)
    unit += resting_on(allocated.attested)
    if certificate is not None:
        unit.append(AssertAuthority(certificate.authority, certificate.authority_version))
    unit += bound.recorded.changes
    unit.append(SaveRegistration(registration, None if previous is None else previous.etag))
    unit += bound.changes
    unit += closing
    await store.commit(unit)
    return registration


def resting_on(attested: Attested) -> Sequence[Change]:
    """Asserts the uploaded CA certificates that the proof rests on, or uses a one-time password; most proofs rest on nothing."""
    proof = attested.proof
    if isinstance(proof, ProvenOnce) and proof.sha256:
        used = UseOneTimePassword(attested.registration_id, proof.sha256, proof.request_sha256, proof.used_at)
        return (used,)
    if not isinstance(proof, ProvenChain):
        return ()
    return [AssertCaCertificate(name, etag) for name, etag in proof.rests_on]


def lasting_refusal(change: Change) -> AccreditError | None:
    """Why reading again would not help against this stale change; None when it would."""
    if isinstance(change, SaveHubDevice):
        return Refused(
            "The device id belongs to another registration.",
            rule="device-id-taken",
            hint="give the enrollment another deviceId",
            evidence=f"deviceId {change.device.device_id}",
        )
    if isinstance(change, RecordCertificate):
        return Refused(
            "The certificate's serial number or its key is already that of another device.",
            rule="certificate-not-unique",
            evidence=f"serial {change.record.issued.serial:X}",
        )
    if isinstance(change, AssertRoom):
        return Refused(
            "The enrollment group is full.",
            rule="group-full",
            hint="raise quota.maxRegistrations, or delete registrations that are not needed any more",
            evidence=f"group {change.group.key} takes {change.most} registrations",
        )
    if isinstance(change, AssertAuthority):
        return Refused(
            "The certificate authority was changed meanwhile; register again.", rule="authority-changed"
        )
    return None
