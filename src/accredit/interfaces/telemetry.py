"""Where messages of devices are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from accredit.domain.device import Telemetry
from accredit.domain.ids import (
    DeviceId,
)


class TelemetryLog(Protocol):
    """What devices sent, outside the identity database."""

    async def append(self, messages: Sequence[Telemetry]) -> int:
        """Return the last one's sequence number once all are durable; raises StoreUnavailable where they are not."""
        ...

    async def read(
        self, device_id: DeviceId | None, after: int, limit: int, hub: tuple[str, str] | None = None
    ) -> Sequence[tuple[int, Telemetry]]:
        """Of all devices or one, of all hubs or the one that carries one of two names: messages with a sequence number above `after`, in order. A page may be short: only an empty one is the end."""
        ...

    async def arrival(self, after: int) -> int:
        """Return the newest sequence number once it is above `after`."""
        ...

    async def close(self) -> None: ...
