"""Answer: what may be told, from what is committed. Any process can build it, at once or when the device polls."""

from __future__ import annotations

from accredit.domain.credential import Certified
from accredit.domain.errors import AccreditError, Conflict, NotFound
from accredit.domain.evidence import Attested
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import (
    Answer,
    Assigned,
    Assigning,
    Ended,
    Operation,
    OperationState,
    Registration,
    Status,
)
from accredit.interfaces import Store
from accredit.policy.renewal_window import renewal_window
from accredit.wire.refusals import on_the_wire

POLL_AFTER_S = 3
"""Azure: the live service's `retry-after` while assigning."""


async def of_operation(store: Store, operation: Operation, attested: Attested) -> Answer:
    """Raises NotFound when the registration was deleted meanwhile."""
    if operation.state is OperationState.OPEN:
        return Assigning(operation.id, operation.registration_id, POLL_AFTER_S)
    registration = await store.registration(operation.registration_id)
    if registration is None:
        raise NotFound("There is no such registration.", rule="registration-unknown")
    if operation.state is OperationState.ASSIGNED:
        certified = await _certified(store, operation.certificate_sha256)
        return await assigned(store, registration, attested, certified, operation.csr_field)
    code, message = operation.error_code, operation.error_message
    if operation.state is OperationState.SUPERSEDED:
        refusal = Conflict("A newer request of this device took its place.", rule="operation-superseded")
        code, message = on_the_wire(refusal).code, refusal.message
    return Ended(
        operation_id=operation.id,
        registration_id=operation.registration_id,
        status=Status.FAILED,
        error_code=code,
        error_message=message,
        device_id=operation.device_id,
        created_at=registration.created_at,
        updated_at=registration.updated_at,
        etag=registration.etag,
    )


async def of_registration(store: Store, registration: Registration, attested: Attested) -> Answer:
    """The registration as its last operation left it, with the certificate that was given then."""
    if registration.status is Status.ASSIGNED:
        certified = await _certified(store, registration.certificate_sha256)
        return await assigned(store, registration, attested, certified, registration.csr_field)
    return ended(registration)


async def assigned(
    store: Store,
    registration: Registration,
    attested: Attested,
    certified: Certified | None,
    csr_field: str | None,
) -> Assigned:
    """With the trust bundle that the enrollment names, as it is now; an enrollment without one costs no look-up."""
    name = attested.enrollment.trust_bundle
    bundle = None if name is None else await store.trust_bundle(name)
    renewal = None if certified is None else renewal_window(certified.record.issued)
    return Assigned(registration, attested, certified, csr_field, bundle, renewal=renewal)


def ended(registration: Registration) -> Ended:
    """The state of a registration that has no assignment."""
    return Ended(
        operation_id=registration.operation_id,
        registration_id=registration.registration_id,
        status=registration.status,
        error_code=registration.error_code,
        error_message=registration.error_message,
        device_id=registration.device_id,
        created_at=registration.created_at,
        updated_at=registration.updated_at,
        etag=registration.etag,
    )


def disabled(
    operation_id: str, registration_id: RegistrationId, previous: Registration | None, now: int
) -> Ended:
    """What a poll says while the enrollment is switched off (Azure: 200 with status `disabled`)."""
    return Ended(
        operation_id=operation_id,
        registration_id=registration_id,
        status=Status.DISABLED,
        error_code=None,
        error_message=None,
        device_id=None if previous is None else previous.device_id,
        created_at=now if previous is None else previous.created_at,
        updated_at=now if previous is None else previous.updated_at,
        etag="" if previous is None else previous.etag,
    )


def failed(
    operation_id: str,
    registration_id: RegistrationId,
    previous: Registration | None,
    refusal: AccreditError,
    now: int,
) -> Ended:
    """What failed at once (Azure: 200 with status `failed`): no hub is left, or a TPM that is not enrolled. An earlier
    assignment stays as it was."""
    return Ended(
        operation_id=operation_id,
        registration_id=registration_id,
        status=Status.FAILED,
        error_code=on_the_wire(refusal).code,
        error_message=refusal.message,
        device_id=None if previous is None else previous.device_id,
        created_at=now if previous is None else previous.created_at,
        updated_at=now,
        etag="" if previous is None else previous.etag,
    )


async def _certified(store: Store, sha256: bytes | None) -> Certified | None:
    record = None if sha256 is None else await store.certificate(sha256)
    return None if record is None else Certified(record, fresh=False)
