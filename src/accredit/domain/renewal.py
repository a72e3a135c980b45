"""A renewal over the device's hub: what the device asks, and what may come of it.

The device names its request; an operation stands behind it, whose last part is the correlation id.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ANY_REQUEST = "*"
"""What `replace` says where the device does not care which request it replaces."""


@dataclass(frozen=True, slots=True)
class RenewalRequest:
    """`certificate` is the one that the connection was opened with, DER; `csr` as it was sent."""

    certificate: bytes = field(repr=False)
    csr: str
    request_id: str
    replace: str | None
    source: str
    tracking_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """An operation stands for it. After `expires_at` nobody works on it any more."""

    operation_id: str
    correlation_id: str
    request_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Another operation of the device is under way; `begun` when its order may have left.

    `request_id` is empty where the device did not ask for it over its hub.
    """

    correlation_id: str
    request_id: str
    expires_at: int
    begun: bool


@dataclass(frozen=True, slots=True)
class NothingToReplace:
    """No request of this name is under way."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """The new certificate, DER, leaf first, and what stands above it. The old one is good until this one is used."""

    correlation_id: str
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NotRenewed:
    """The operation ended without a certificate; the device stands where it stood."""

    correlation_id: str
    request_id: str
    message: str
    superseded: bool = False
