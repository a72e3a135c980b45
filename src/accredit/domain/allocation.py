"""What an enrollment says about where its devices go, beside the policy's name: rule, regions, and whom to ask.

These are read from `Enrollment.settings`, where they stand in the form of the service document; what that form may
be is checked when it is put (`wire/service_api/allocation.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from accredit.domain.enrollment import Enrollment
from accredit.domain.secret import Secret
from accredit.values import dataclass

RULE = "allocationRule"
REGIONS = "allocationRegions"
CUSTOM_ALLOCATION = "customAllocationDefinition"
PRE_REGISTRATION = "preRegistrationWebhook"
WEBHOOKS = (CUSTOM_ALLOCATION, PRE_REGISTRATION)
"""The members that define a webhook; the secret of each is in `Enrollment.secrets` under its name."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One line of a rule: the hub for the devices for which `when` holds (`rule_language.py`); None: for all."""

    hub: str
    when: str | None = None
    initial_twin: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Webhook:
    """Whom to ask. `api_version` is the form in which the enrollment is told; `secret` signs what is sent."""

    url: str = dataclasses.field(repr=False)
    api_version: str
    secret: Secret | None


def rule(enrollment: Enrollment) -> Sequence[Clause]:
    clauses = enrollment.settings.get(RULE)
    if not clauses:
        return ()
    return [Clause(each["hub"], each.get("when"), each.get("initialTwin")) for each in clauses]


def regions(enrollment: Enrollment) -> Sequence[str]:
    """The regions that the enrollment's devices are near to, the nearest first."""
    named: Sequence[str] = enrollment.settings.get(REGIONS, ())
    return named


def webhook(enrollment: Enrollment, member: str) -> Webhook | None:
    """The definition that stands in one of `WEBHOOKS`."""
    definition = enrollment.settings.get(member)
    if definition is None:
        return None
    return Webhook(definition["webhookUrl"], definition["apiVersion"], enrollment.secrets.get(member))
