"""The seams: what a store, an authority, a hub, a clock must do. Implementations live in the rooms of their names."""

from __future__ import annotations

from accredit.interfaces.authorities import (
    Authorities,
    Authority,
    Deferred,
    Delivered,
    FindsOrder,
    OrderAnswer,
    Pending,
    PollsOrder,
    Probes,
    Rejected,
    Revokes,
    Standing,
    TellsChain,
    Unknown,
)
from accredit.interfaces.hubs import (
    Hub,
    HubAddresses,
    Hubs,
    RemoteHub,
)
from accredit.interfaces.store import (
    LAST_KEY,
    CommitUnknown,
    HubUsers,
    Page,
    Stale,
    Store,
    StoreUnavailable,
)
from accredit.interfaces.telemetry import (
    TelemetryLog,
)
from accredit.interfaces.webhooks import (
    Said,
    Silent,
    Unusable,
    WebhookAnswer,
    Webhooks,
)
from accredit.interfaces.world import (
    Clock,
    Entropy,
)

__all__ = [
    "LAST_KEY",
    "Authorities",
    "Authority",
    "Clock",
    "CommitUnknown",
    "Deferred",
    "Delivered",
    "Entropy",
    "FindsOrder",
    "Hub",
    "HubAddresses",
    "HubUsers",
    "Hubs",
    "OrderAnswer",
    "Page",
    "Pending",
    "PollsOrder",
    "Probes",
    "Rejected",
    "RemoteHub",
    "Revokes",
    "Said",
    "Silent",
    "Stale",
    "Standing",
    "Store",
    "StoreUnavailable",
    "TelemetryLog",
    "TellsChain",
    "Unknown",
    "Unusable",
    "WebhookAnswer",
    "Webhooks",
]
