"""What provisioning sees of a hub, in this service or elsewhere; which hubs are linked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from accredit.domain.changes import Change
from accredit.domain.device import DeviceData, HubIdentity
from accredit.domain.ids import (
    DeviceId,
    RegistrationId,
)
from accredit.domain.linked_hub import HubAddress, HubKind, LinkedHub
from accredit.domain.registration import Issued


class Hub(Protocol):
    """What provisioning sees of a hub in this service's own database."""

    kind: Literal[HubKind.EMBEDDED]
    name: str

    def bind(self, issued: Issued, now: int, token: str, data: DeviceData | None) -> Sequence[Change]:
        """The changes that make this device and its credential good at the hub; applying them twice is as once.

        `token` is a fresh random name for a new identity's generation and etag. `data` is what the twin shall be; with
        None an identity that exists keeps its own.
        """
        ...

    async def data(self, device_id: DeviceId) -> DeviceData | None:
        """What the hub holds for the device, None when it has no such device."""
        ...

    def release(self, device_id: DeviceId, registration_id: RegistrationId) -> Sequence[Change]:
        """The changes that remove the registration's device from the hub; that it is not there is no error."""
        ...

    def released(self, device_id: DeviceId) -> None:
        """Told once a release stands: the connection that the device has there ends."""
        ...


class RemoteHub(Protocol):
    """A hub outside this service's database. Every call may run twice: what was done is done again without harm.

    Raises UpstreamUnavailable where trying again helps, UpstreamRejected where it does not.
    """

    kind: Literal[HubKind.AZURE]
    name: str

    async def put(self, identity: HubIdentity) -> None:
        """Create the device or make its credentials these."""
        ...

    async def data(self, device_id: DeviceId) -> DeviceData | None:
        """What the hub holds for the device, None when it has no such device."""
        ...

    async def delete(self, device_id: DeviceId) -> None:
        """Remove the device; that it is not there is no error."""
        ...


class Hubs(Protocol):
    """The linked hubs. What is linked may change at any time."""

    async def linked(self) -> Sequence[LinkedHub]:
        """The first embedded hub, then the others by name."""
        ...

    async def get(self, name: str) -> Hub | RemoteHub | None: ...


class HubAddresses(Protocol):
    """The embedded hubs as devices and callers address them."""

    async def at(self, host: str | None) -> HubAddress | None:
        """The hub that a host name of this service means, without regard to case; None is the first hub's."""
        ...
