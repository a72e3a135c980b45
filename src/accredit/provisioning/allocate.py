"""Allocate: the device's name, and the hub it is assigned to; or that somebody outside must be asked for that first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accredit.domain import allocation as stated
from accredit.domain.enrollment import ReprovisionPolicy
from accredit.domain.errors import Refused, Unauthenticated
from accredit.domain.evidence import Attested, ProvenHeld
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.registration import Admitted, Allocated, Operation, Registration, Request
from accredit.policy import admission, allocation, reprovisioning
from accredit.policy.allocation import AskWebhook, Choice


def admit(attested: Attested, previous: Registration | None, linked: Sequence[LinkedHub]) -> Admitted:
    """Raises Unauthenticated or Disabled when this device may not register now."""
    admission.admit(attested, previous)
    registration_id = admission.registration_id(attested, previous)
    return Admitted(
        attested=attested,
        registration_id=registration_id,
        previous=previous,
        device_id=admission.device_id(attested.enrollment, registration_id),
        at_hub=reprovisioning.at_hub(previous, linked),
    )


def allocate(admitted: Admitted, request: Request, linked: Sequence[LinkedHub]) -> Allocated | AskWebhook:
    """Raises Refused when no hub is left, or a renewal is asked for by a device that is at none."""
    if isinstance(admitted.attested.proof, ProvenHeld):
        return _where_it_is(admitted)
    policy = reprovisioning.policy(admitted.attested.enrollment, request.api_version)
    present = admitted.at_hub
    if present is not None and present.hub is not None and not policy.update_hub_assignment:
        return _at(admitted, Choice(present.hub), policy, present.payload)
    choice = allocation.choose(admitted.attested, linked, request.payload)
    return choice if isinstance(choice, AskWebhook) else _at(admitted, choice, policy, None)


def _where_it_is(admitted: Admitted) -> Allocated:
    """A renewal moves nothing."""
    present = admitted.at_hub
    if present is None or present.hub is None or present.device_id != admitted.device_id:
        raise Refused(
            "The device is not assigned to a hub as this device; register again.",
            rule="renewal-not-assigned",
            evidence="its hub is no longer linked, or its enrollment names another device id",
        )
    return _at(admitted, Choice(present.hub), reprovisioning.NEVER, present.payload)


def by_answer(
    admitted: Admitted,
    linked: Sequence[LinkedHub],
    hub: str | None,
    initial_twin: dict[str, Any] | None,
    payload: bytes | None,
) -> Allocated:
    """As the webhook says; None: as it would be without one. Raises Refused or UpstreamRejected.

    It is asked only where the reprovision policy lets a hub be chosen, so the stated policy is the one that holds.
    """
    enrollment = admitted.attested.enrollment
    if hub is None:
        name = allocation.by_default(enrollment, admitted.registration_id, linked)
    else:
        name = allocation.answered(enrollment, hub, linked)
    policy = reprovisioning.chosen_anew(enrollment)
    return _at(admitted, Choice(name, initial_twin), policy, payload)


def _at(admitted: Admitted, choice: Choice, policy: ReprovisionPolicy, payload: bytes | None) -> Allocated:
    found = reprovisioning.outcome(policy, admitted.at_hub, admitted.device_id, choice.hub)
    return Allocated(
        attested=admitted.attested,
        registration_id=admitted.registration_id,
        previous=admitted.previous,
        device_id=admitted.device_id,
        at_hub=admitted.at_hub,
        hub=choice.hub,
        substatus=found.substatus,
        fate=found.fate,
        initial_twin=choice.initial_twin,
        payload=payload,
    )


def asks_first(admitted: Admitted) -> bool:
    """Whether a webhook may refuse this device before anything is done for it."""
    return stated.PRE_REGISTRATION in admitted.attested.enrollment.settings


def still_admitted(
    operation: Operation, attested: Attested, previous: Registration | None, linked: Sequence[LinkedHub]
) -> Admitted:
    """The device as it was when the intent was written. Raises Refused when something that it rested on has changed."""
    enrollment = attested.enrollment
    if enrollment.etag != operation.enrollment_etag or not enrollment.enabled:
        raise changed_meanwhile()
    if admission.is_revoked(previous):
        raise changed_meanwhile()
    try:
        admission.check_owner(attested, previous)
    except Unauthenticated as error:
        raise changed_meanwhile() from error
    at_hub = reprovisioning.at_hub(previous, linked)
    # Where the device has come to the chosen hub meanwhile, nothing is to be moved any more.
    if (None if at_hub is None else at_hub.hub) not in (operation.old_hub, operation.hub):
        raise changed_meanwhile()
    return Admitted(
        attested=attested,
        registration_id=operation.registration_id,
        previous=previous,
        device_id=operation.device_id,
        at_hub=at_hub,
    )


def still_allocated(operation: Operation, admitted: Admitted, linked: Sequence[LinkedHub]) -> Allocated:
    """What was allocated, now or by whoever was asked. Raises Refused when that hub is not linked any more."""
    if operation.hub is None or operation.hub not in {hub.name for hub in linked}:
        raise changed_meanwhile()
    return Allocated(
        attested=admitted.attested,
        registration_id=admitted.registration_id,
        previous=admitted.previous,
        device_id=admitted.device_id,
        at_hub=admitted.at_hub,
        hub=operation.hub,
        substatus=operation.substatus,
        fate=operation.fate,
        initial_twin=operation.initial_twin,
        payload=operation.answer,
    )


def changed_meanwhile() -> Refused:
    return Refused("The enrollment was changed meanwhile; register again.", rule="changed-meanwhile")
