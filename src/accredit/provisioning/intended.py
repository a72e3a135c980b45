"""Intended: what a register call comes to as an operation: everything that is needed to finish it without the device.

No key is in it: a device's keys are made again from its enrollment (`attest.resumed`).
"""

from __future__ import annotations

from typing import Any

from accredit.domain.credential import DEFAULT_PROFILE, Certified, Credential
from accredit.domain.evidence import DeviceKeys, ProvenChain, ProvenHeld
from accredit.domain.registration import Admitted, Allocated, DataFate, Operation, Phase, Request, Substatus
from accredit.policy.allocation import AskWebhook
from accredit.provisioning import names
from accredit.provisioning.allocate import asks_first
from accredit.provisioning.issue import Wanted
from accredit.provisioning.means import Means


def intended(
    means: Means,
    admitted: Admitted,
    allocated: Allocated | AskWebhook,
    settled: Credential | Wanted,
    csr_field: str | None,
    request: Request,
) -> Operation:
    attested = admitted.attested
    proof = attested.proof
    now = means.now()
    return Operation(
        id=names.operation_id(means.entropy),
        registration_id=admitted.registration_id,
        enrollment=attested.enrollment.ref,
        enrollment_etag=attested.enrollment.etag,
        enrollment_generation=attested.enrollment.generation,
        profile=_profile(settled),
        device_id=admitted.device_id,
        payload=request.payload,
        bootstrap_certificate=proof.chain[0] if isinstance(proof, ProvenChain) else None,
        tracking_id=request.tracking_id,
        created_at=now,
        deadline_at=now + means.ca_retry_s,
        lease_owner=means.owner,
        lease_expires_at=means.leases.until(),
        key_spelling=proof.spelling if isinstance(proof, DeviceKeys) else None,
        phase=_first_phase(admitted, allocated, settled),
        old_hub=None if admitted.at_hub is None else admitted.at_hub.hub,
        csr_field=csr_field,
        held_certificate=proof.certificate if isinstance(proof, ProvenHeld) else None,
        request_id=request.request_id,
        **_certificate(settled),
        **_hub(allocated),
    )


def _profile(settled: Credential | Wanted) -> str:
    if isinstance(settled, Wanted):
        return settled.profile.label
    return settled.record.profile if isinstance(settled, Certified) else DEFAULT_PROFILE.label


def _first_phase(
    admitted: Admitted, allocated: Allocated | AskWebhook, settled: Credential | Wanted
) -> Phase:
    if asks_first(admitted):
        return Phase.ADMIT
    if isinstance(allocated, AskWebhook):
        return Phase.ALLOCATE
    return Phase.ORDER if isinstance(settled, Wanted) else Phase.BIND


def _certificate(settled: Credential | Wanted) -> dict[str, Any]:
    """What must be signed, or what is on record already."""
    if isinstance(settled, Wanted):
        request, authority = settled.request, settled.authority
        return {
            "authority": authority.name,
            "authority_version": authority.version,
            "csr_der": request.der,
            "spki_sha256": request.spki_sha256,
        }
    if isinstance(settled, Certified):
        record = settled.record
        return {
            "authority": record.authority,
            "authority_version": record.authority_version,
            "csr_der": b"",
            "spki_sha256": record.issued.spki_sha256,
            "certificate_sha256": record.issued.sha256,
        }
    return {"authority": None, "authority_version": "", "csr_der": b"", "spki_sha256": b""}


def _hub(allocated: Allocated | AskWebhook) -> dict[str, Any]:
    if isinstance(allocated, AskWebhook):
        return {"hub": None, "substatus": Substatus.INITIAL_ASSIGNMENT, "fate": DataFate.INITIAL}
    return {
        "hub": allocated.hub,
        "substatus": allocated.substatus,
        "fate": allocated.fate,
        "initial_twin": allocated.initial_twin,
        "answer": allocated.payload,
    }
