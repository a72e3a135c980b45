"""How an enrollment document says where its devices go: the rule, the regions and the webhooks (extension members, but
for `customAllocationDefinition`).

A rule is parsed here, so that one that was stored can always be run. Whether a hub is linked and where a webhook may
be is not judged here (`administration/enrollments.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from accredit.domain import allocation as stated
from accredit.domain.errors import Malformed
from accredit.domain.rule_language import expression
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.api_versions import API_VERSIONS
from accredit.wire.service_api.documents import free_form

ALLOCATION = {"hashed": "hashed", "static": "static", "geolatency": "geoLatency", "custom": "custom"}

MAX_CLAUSES = 50
MAX_REGIONS = 20
MAX_REGION_CHARS = 64
MAX_URL_CHARS = 2_048
MIN_SECRET_CHARS, MAX_SECRET_CHARS = 16, 256

MIN_WEBHOOK_VERSION = "2018-09-01-preview"
"""Azure: the first api-version with custom allocation."""


class ClauseDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One line of `allocationRule`: a slip of the pen must not send a device to another hub."""

    hub: str
    when: str | None = None
    initial_twin: dict[str, Any] | None = None


class WebhookDocument(msgspec.Struct, rename="camel"):
    webhook_url: str | None = None
    api_version: str | None = None
    secret: str | None = None


class _Twin(msgspec.Struct):
    tags: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AllocationSent:
    """`settings` and `secrets` as the enrollment keeps them."""

    settings: dict[str, Any]
    secrets: Mapping[str, Secret]


def read_policy(name: str | None, *, hub_named: bool) -> str:
    """`allocationPolicy`; without one it is hashed, or static where the older `iotHubHostName` names a hub."""
    if name is None:
        return "static" if hub_named else "hashed"
    policy = ALLOCATION.get(name.lower())
    if policy is None:
        raise Malformed(
            f"allocationPolicy is not {', '.join(ALLOCATION.values())}.", rule="allocation-policy"
        )
    return policy


def read_allocation(
    policy: str,
    rule: list[ClauseDocument] | None,
    regions: list[str] | None,
    webhooks: Mapping[str, WebhookDocument | None],
) -> AllocationSent:
    """The members beside the policy's name. Raises Malformed."""
    settings: dict[str, Any] = {}
    secrets: dict[str, Secret] = {}
    if rule:
        settings[stated.RULE] = _rule(rule)
    if regions:
        settings[stated.REGIONS] = _regions(regions)
    for member, document in webhooks.items():
        if document is None or document.webhook_url is None:
            continue
        settings[member] = _webhook(document, member)
        if document.secret:
            secrets[member] = _secret(document.secret, member)
    if policy == "custom" and stated.CUSTOM_ALLOCATION not in settings:
        raise Malformed(
            f"allocationPolicy custom needs {stated.CUSTOM_ALLOCATION}.webhookUrl.", rule="webhook-definition"
        )
    return AllocationSent(settings, secrets)


def read_twin(document: dict[str, Any] | None, member: str) -> dict[str, Any] | None:
    """An `initialTwin`: `tags` and `properties.desired` are objects where they are there."""
    twin = free_form(document, member)
    if twin is None:
        return None
    try:
        parts = msgspec.convert(twin, _Twin)
    except msgspec.ValidationError:
        raise Malformed(f"tags and properties of {member} are not objects.", rule="initial-twin") from None
    desired = (parts.properties or {}).get("desired")
    if desired is not None and not isinstance(desired, dict):
        raise Malformed(f"{member}.properties.desired is not an object.", rule="initial-twin")
    return twin


def _rule(clauses: list[ClauseDocument]) -> list[dict[str, Any]]:
    if len(clauses) > MAX_CLAUSES:
        raise Malformed(f"{stated.RULE} has more than {MAX_CLAUSES} clauses.", rule="allocation-rule")
    read: list[dict[str, Any]] = []
    for number, clause in enumerate(clauses):
        place = f"{stated.RULE}[{number}]"
        try:
            if clause.when is not None:
                expression(clause.when)
        except Malformed as unreadable:
            raise Malformed(f"{place}.when: {unreadable.message}", rule="allocation-rule") from None
        twin = read_twin(clause.initial_twin, f"{place}.initialTwin")
        members = {"when": clause.when, "hub": clause.hub, "initialTwin": twin}
        read.append({member: value for member, value in members.items() if value is not None})
    return read


def _regions(regions: list[str]) -> list[str]:
    if len(regions) > MAX_REGIONS or any(not 0 < len(name) <= MAX_REGION_CHARS for name in regions):
        raise Malformed(
            f"{stated.REGIONS} is not at most {MAX_REGIONS} names of at most {MAX_REGION_CHARS} characters.",
            rule="allocation-regions",
        )
    return regions


def _webhook(document: WebhookDocument, member: str) -> dict[str, Any]:
    url = document.webhook_url or ""
    if len(url) > MAX_URL_CHARS or not url.lower().startswith("https://"):
        raise Malformed(
            f"{member}.webhookUrl is not an https address of at most {MAX_URL_CHARS} characters.",
            rule="webhook-definition",
        )
    version = document.api_version or MIN_WEBHOOK_VERSION
    if version not in API_VERSIONS or version < MIN_WEBHOOK_VERSION:
        raise Malformed(
            f"{member}.apiVersion is not a supported one of {MIN_WEBHOOK_VERSION} or later.",
            rule="webhook-definition",
        )
    return {"webhookUrl": url, "apiVersion": version}


def _secret(text: str, member: str) -> Secret:
    if not MIN_SECRET_CHARS <= len(text) <= MAX_SECRET_CHARS or not text.isascii() or not text.isprintable():
        raise Malformed(
            f"{member}.secret is not {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} printable ASCII characters.",
            rule="webhook-definition",
        )
    return Secret(text.encode())
