"""The hubs that devices may be assigned to, as the operator linked them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from accredit.domain.secret import Secret


class HubKind(StrEnum):
    """Embedded: of this very service, in its own database. Azure: any hub that speaks IoT Hub's registry REST API."""

    EMBEDDED = "embedded"
    AZURE = "azure"


@dataclass(frozen=True, slots=True)
class LinkedHub:
    """One linked hub. `name` is its host name as `assignedHub` spells it; host names compare without regard to case.

    `location` is the region that `geoLatency` compares. `weight` counts for `hashed` (Azure: `allocationWeight`); a hub
    without `apply_allocation_policy` gets only the devices whose enrollment names it. `connection_string` is a remote
    hub's, None for an embedded one. Instants are Unix seconds.
    """

    name: str
    kind: HubKind
    etag: str
    created_at: int
    updated_at: int
    location: str | None = None
    weight: int = 1
    apply_allocation_policy: bool = True
    connection_string: Secret | None = None
