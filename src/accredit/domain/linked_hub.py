"""The hubs that devices may be assigned to, as the operator linked them."""

from __future__ import annotations

from enum import StrEnum

from accredit.domain.secret import Secret
from accredit.values import dataclass

FIRST_HUB = ""
"""The key of the hub of the service's first host name: renaming the service must not lose its devices."""


class HubKind(StrEnum):
    """Embedded: of this very service, in its own database. Azure: any hub that speaks IoT Hub's registry REST API."""

    EMBEDDED = "embedded"
    AZURE = "azure"


@dataclass(frozen=True, slots=True)
class LinkedHub:
    """One linked hub. `name` is its host name as `assignedHub` spells it; host names compare without regard to case.

    `location` is the region that `geoLatency` compares. `weight` counts for `hashed` (Azure: `allocationWeight`); a hub
    without `apply_allocation_policy` gets only the devices whose enrollment names it. `connection_string` is a remote
    hub's, None for an embedded one; `trust_anchors` is PEM text of what a remote hub's TLS may chain to beside the
    system's roots. `first`: the embedded hub of the service's first host name, which is always there. Instants are
    Unix seconds.
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
    trust_anchors: str | None = None
    first: bool = False

    @property
    def key(self) -> str:
        """What its rows are stored under."""
        return FIRST_HUB if self.first else self.name.lower()


@dataclass(frozen=True, slots=True)
class HubAddress:
    """An embedded hub as devices and callers find it: its key and name, and all host names that lead to it (lower case)."""

    key: str
    name: str
    host_names: frozenset[str]
