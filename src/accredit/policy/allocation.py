"""Which hub a device is assigned to: its enrollment's rule, then its allocation policy.

Candidates are the hubs that the enrollment names, else all linked ones that take part in allocation. The choice is a
function of what is handed in, so every process comes to the same one. Asking a webhook is not done here: this file
says that it is due, and what its answer may be.

Azure: docs *concepts-service* and *concepts-custom-allocation*. `geoLatency` goes by configured regions: nothing here
measures a latency.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import msgspec
from cryptography import x509

from accredit.domain import allocation as stated
from accredit.domain.enrollment import Enrollment
from accredit.domain.errors import Refused, UpstreamRejected
from accredit.domain.evidence import Attested, ProvenChain
from accredit.domain.ids import RegistrationId
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.rule_language import Facts, expression
from accredit.values import dataclass

NO_HUB = "no-hub"


@dataclass(frozen=True, slots=True)
class Choice:
    """A hub, by its name, and the twin that goes before the enrollment's."""

    hub: str
    initial_twin: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AskWebhook:
    """The enrollment leaves the choice to its webhook."""


def choose(attested: Attested, linked: Sequence[LinkedHub], payload: bytes | None) -> Choice | AskWebhook:
    """Raises Refused when no hub is left."""
    enrollment = attested.enrollment
    if stated.RULE in enrollment.settings:
        ruled = _by_rule(attested, linked, payload)
        if ruled is not None:
            return ruled
    if enrollment.allocation_policy == "custom":
        return AskWebhook()
    return Choice(by_default(enrollment, attested.registration_id, linked))


def by_default(enrollment: Enrollment, registration_id: RegistrationId, linked: Sequence[LinkedHub]) -> str:
    """The hub without anybody's word: what `custom` comes to when its webhook says `useDefault`. Raises Refused."""
    found = candidates(enrollment, linked)
    if not found:
        raise no_hub(enrollment, linked)
    if enrollment.allocation_policy == "static":
        return found[0].name
    if enrollment.allocation_policy == "geoLatency":
        found = _nearest(found, stated.regions(enrollment))
    return hashed(registration_id, found).name


def candidates(enrollment: Enrollment, linked: Sequence[LinkedHub]) -> Sequence[LinkedHub]:
    """The hubs that its devices may go to, in the order in which the enrollment names them."""
    if not enrollment.hubs:
        return [hub for hub in linked if hub.apply_allocation_policy]
    return [hub for hub in (_named(name, linked) for name in enrollment.hubs) if hub is not None]


def _named(name: str, linked: Sequence[LinkedHub]) -> LinkedHub | None:
    """Host names compare without regard to case."""
    return next((hub for hub in linked if hub.name.lower() == name.lower()), None)


def hashed(registration_id: RegistrationId, candidates: Sequence[LinkedHub]) -> LinkedHub:
    """Weighted rendezvous hashing: each hub gets its share, and another hub moves none but the devices it takes.

    A hub of weight 0 gets nothing while there is another.
    """
    weighing = [hub for hub in candidates if hub.weight > 0] or candidates
    if len(weighing) == 1:
        return weighing[0]
    return max(weighing, key=lambda hub: (_score(registration_id, hub), hub.name))


def _score(registration_id: RegistrationId, hub: LinkedHub) -> float:
    digest = hashlib.sha256(f"{hub.name.lower()}\0{registration_id.key}".encode()).digest()
    # Within (0, 1): 52 bits and a half fit a float exactly.
    share = ((int.from_bytes(digest[:8], "big") >> 12) + 0.5) / (1 << 52)
    return -max(hub.weight, 1) / math.log(share)


def _nearest(candidates: Sequence[LinkedHub], regions: Sequence[str]) -> Sequence[LinkedHub]:
    """Those in the first of the regions that has one; all of them where none has."""
    for region in regions:
        there = [hub for hub in candidates if _region(hub.location or "") == _region(region)]
        if there:
            return there
    return candidates


def _region(text: str) -> str:
    """Azure writes one region as `West Europe` and as `westeurope`."""
    return text.replace(" ", "").lower()


def _by_rule(attested: Attested, linked: Sequence[LinkedHub], payload: bytes | None) -> Choice | None:
    """The first clause that holds; None when none does. Raises Refused when its hub is not linked any more."""
    enrollment = attested.enrollment
    known: dict[str, Any] = {}
    for clause in stated.rule(enrollment):
        if clause.when is not None:
            condition = expression(clause.when)
            for root in condition.roots - known.keys():
                known[root] = _fact(root, attested, payload)
            if not condition.holds(known):
                continue
        hub = _named(clause.hub, linked)
        if hub is None:
            raise no_hub(enrollment, linked)
        return Choice(hub.name, clause.initial_twin)
    return None


def _fact(root: str, attested: Attested, payload: bytes | None) -> Any:
    match root:
        case "registrationId":
            return attested.registration_id.text
        case "enrollmentId":
            return attested.enrollment.id.text
        case "payload":
            return _read(payload)
        case "x509":
            return _names(attested)
        case _:
            return (attested.enrollment.initial_twin or {}).get("tags")


def _read(payload: bytes | None) -> Any:
    """The payload's value. Azure: the Java SDK sends a JSON string that contains JSON."""
    if payload is None:
        return None
    try:
        value = msgspec.json.decode(payload)
        return msgspec.json.decode(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _names(attested: Attested) -> Facts:
    """Subject and issuer of the device's certificate, by attribute (`CN`, `O`, `OU`, ...); of several the first counts."""
    if not isinstance(attested.proof, ProvenChain):
        return {}
    certificate = x509.load_der_x509_certificate(attested.proof.chain[0])
    return {"subject": _attributes(certificate.subject), "issuer": _attributes(certificate.issuer)}


def _attributes(name: x509.Name) -> Facts:
    found: dict[str, str] = {}
    for attribute in name:
        if isinstance(attribute.value, str):
            found.setdefault(attribute.rfc4514_attribute_name, attribute.value)
    return found


def answered(enrollment: Enrollment, hub: str, linked: Sequence[LinkedHub]) -> str:
    """The hub that a webhook's answer names. Raises UpstreamRejected: it must be one of those that it was told of."""
    told = candidates(enrollment, linked)
    found = _named(hub, told)
    if found is None:
        raise UpstreamRejected(
            "The allocation webhook named a hub that is not linked.",
            rule="webhook-hub",
            hint=f"it was told of {_listed(told)}",
            evidence=f"iotHubHostName {hub[:128]!r}",
        )
    return found.name


def no_hub(enrollment: Enrollment, linked: Sequence[LinkedHub]) -> Refused:
    named = ", ".join(enrollment.hubs) or "none"
    return Refused(
        "No linked hub is left for this enrollment.",
        rule=NO_HUB,
        hint=f"iotHubs names {named}; linked is {_listed(linked)}; `applyAllocationPolicy` may keep a hub out",
    )


def _listed(linked: Sequence[LinkedHub]) -> str:
    return ", ".join(hub.name for hub in linked) or "none"
