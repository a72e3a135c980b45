"""Linked hub documents (`/linkedHubs/{name}`; an extension: Azure links hubs in its resource manager, ARM `iotHubs[]`)."""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.errors import Malformed
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.hub_service.connection import is_host_name, read_connection
from accredit.wire.instants import iso
from accredit.wire.service_api.certificates import certificate_ders
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.etags import quoted

MAX_LOCATION_CHARS = 64
MAX_WEIGHT = 1_000
MAX_TRUST_ANCHORS = 10


class LinkedHubDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What PUT takes: a `connectionString` links a hub elsewhere, without one the hub is embedded in this service.

    The members that only answers have may be sent back.
    """

    connection_string: str | None = None
    location: str | None = None
    allocation_weight: int | None = None
    apply_allocation_policy: bool | None = None
    trust_anchors: str | None = None
    name: str | None = None
    host_name: str | None = None
    kind: str | None = None
    etag: str | None = None
    created_date_time_utc: str | None = None
    last_updated_date_time_utc: str | None = None


@dataclass(frozen=True, slots=True)
class LinkedHubSent:
    """One PUT document, its members checked; `connection_string` is None where none was sent."""

    name: str
    connection_string: Secret | None
    location: str | None
    weight: int
    apply_allocation_policy: bool
    trust_anchors: str | None


def hub_name(text: str) -> str:
    """The name, if a hub can have it. Raises Malformed."""
    if not is_host_name(text):
        raise Malformed("The hub's name is no host name.", rule="hub-name")
    return text


def read_linked_hub(body: bytes, name: str) -> LinkedHubSent:
    """Raises Malformed. A hub elsewhere is called by its host name, without the port that it may have."""
    document = read(body, LinkedHubDocument) if body.strip() else LinkedHubDocument()
    for said in (document.name, document.host_name):
        if said is not None and said.lower() != name.lower():
            raise Malformed("The name in the body is not the one in the address.", rule="id-mismatch")
    connection = document.connection_string or None
    if connection is not None and read_connection(connection).host.lower() != name.lower():
        raise Malformed(
            "HostName in connectionString is not the name in the address.",
            rule="hub-name",
            hint="a linked hub is called by its host name",
        )
    return LinkedHubSent(
        name=name,
        connection_string=None if connection is None else Secret(connection.encode()),
        location=_location(document.location),
        weight=_weight(document.allocation_weight),
        apply_allocation_policy=document.apply_allocation_policy is not False,
        trust_anchors=_trust_anchors(document.trust_anchors),
    )


def _location(text: str | None) -> str | None:
    if text is not None and (len(text) > MAX_LOCATION_CHARS or not text.isprintable()):
        raise Malformed(
            f"location is not a text of at most {MAX_LOCATION_CHARS} printable characters.",
            rule="document-invalid",
        )
    return text or None


def _weight(weight: int | None) -> int:
    if weight is not None and not 1 <= weight <= MAX_WEIGHT:
        raise Malformed(f"allocationWeight is not from 1 to {MAX_WEIGHT}.", rule="document-invalid")
    return 1 if weight is None else weight


def _trust_anchors(pem: str | None) -> str | None:
    if not pem:
        return None
    if len(certificate_ders(pem, "trustAnchors")) > MAX_TRUST_ANCHORS:
        raise Malformed(
            f"trustAnchors holds more than {MAX_TRUST_ANCHORS} certificates.", rule="certificate-count"
        )
    return pem


def linked_hub_document(hub: LinkedHub) -> dict[str, Any]:
    """As answers show it: never the connection string."""
    document = {
        "name": hub.name,
        "hostName": hub.name,
        "kind": hub.kind.value,
        "allocationWeight": hub.weight,
        "applyAllocationPolicy": hub.apply_allocation_policy,
        "etag": quoted(hub.etag),
        "createdDateTimeUtc": iso(hub.created_at),
        "lastUpdatedDateTimeUtc": iso(hub.updated_at),
    }
    if hub.location is not None:
        document["location"] = hub.location
    if hub.trust_anchors is not None:
        document["trustAnchors"] = hub.trust_anchors
    return document
