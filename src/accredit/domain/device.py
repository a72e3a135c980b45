"""The embedded hub's view of a device: its identity, and which certificates are good for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.values import dataclass, field

MAX_PENDING_CERTIFICATES = 2
"""Beside the last used certificate, at most this many not yet used ones are good for a device."""


@dataclass(frozen=True, slots=True)
class DeviceData:
    """What goes with a device from hub to hub: its twin's tags and desired properties, and its capability."""

    tags: dict[str, Any] = field(default_factory=dict)
    desired: dict[str, Any] = field(default_factory=dict)
    iot_edge: bool = False


@dataclass(frozen=True, slots=True)
class TwinVersions:
    """How often a twin has changed: `etag` counts what the service side changed, `version` every change,
    `desired` what was done to the desired properties. A fresh twin has these (Azure, non-telemetry event schema)."""

    etag: int = 1
    version: int = 2
    desired: int = 1
    updated_at: int = 0

    def after(self, *, desired: bool, now: int) -> TwinVersions:
        """One more change by the service side."""
        return TwinVersions(self.etag + 1, self.version + 1, self.desired + desired, now)


@dataclass(frozen=True, slots=True)
class Reported:
    """What the device says of itself in its twin; `version` counts its changes."""

    properties: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class SaveReported:
    """A change (`changes.py`): replace the reported properties of an identity's twin. Stale unless their version is one below."""

    hub: str
    device_id: DeviceId
    reported: Reported


@dataclass(frozen=True, slots=True)
class HubDevice:
    """One identity of an embedded hub, and the registration it belongs to; None for one that was made by hand.

    `hub` is the hub's key. `keys` open a SAS connection, and a certificate with one of the two thumbprints (SHA-256 of
    its DER, or SHA-1 where somebody wrote that down by hand) opens one too, both only while no issued certificate is good
    for the device.
    """

    device_id: DeviceId
    registration_id: RegistrationId | None
    generation_id: str
    etag: str
    created_at: int
    updated_at: int
    enabled: bool = True
    keys: DeviceKeys | None = None
    thumbprint: bytes | None = None
    secondary_thumbprint: bytes | None = None
    data: DeviceData = DeviceData()
    twin: TwinVersions = TwinVersions()
    status_reason: str | None = None
    hub: str = FIRST_HUB
    reported: Reported = Reported()


@dataclass(frozen=True, slots=True)
class HubIdentity:
    """What a remote hub shall hold for a device: its keys, or the SHA-256 thumbprints of the certificates that open it.

    Of `thumbprints` there are at most two, the newest first. `data` is written when it is given; without it what the
    hub has stays as it is.
    """

    device_id: DeviceId
    keys: DeviceKeys | None
    thumbprints: tuple[bytes, ...]
    data: DeviceData | None


class BindingState(StrEnum):
    """A certificate at its hub. Retired: a newer one was used. Superseded: pushed out by newer ones, unused."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Binding:
    """One certificate bound to one device."""

    sha256: bytes
    device_id: DeviceId
    state: BindingState
    not_before: int
    not_after: int
    bound_at: int

    def good(self, now: int) -> bool:
        """Whether the hub takes a connection by it (`not_after` is inclusive, RFC 5280 4.1.2.5)."""
        live = self.state is BindingState.PENDING or self.state is BindingState.ACTIVE
        return live and self.not_before <= now <= self.not_after


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One device-to-cloud message. `properties` are the application's; `system` has the system property names.

    `hub` is the name of the hub that took it; empty in what was kept before there was more than one.
    """

    device_id: DeviceId
    body: bytes
    properties: dict[str, str]
    system: dict[str, str]
    auth_method: str
    enqueued_at: float
    hub: str = ""
