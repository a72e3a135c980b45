"""A hub elsewhere, in memory: what it was told, and the faults that a test scripts for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from accredit.domain.device import DeviceData, HubIdentity
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubKind

Fault = Callable[[], Awaitable[None]]


@dataclass
class ScriptedHub:
    """`interfaces.RemoteHub`. Each call takes the next fault of `before` or `after` its deed, where there is one."""

    name: str
    devices: dict[str, HubIdentity] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: deque[Fault | None] = field(default_factory=deque)
    after: deque[Fault | None] = field(default_factory=deque)
    kind: Literal[HubKind.AZURE] = HubKind.AZURE

    async def put(self, identity: HubIdentity) -> None:
        await self._next(self.before, f"put {identity.device_id}")
        known = self.devices.get(identity.device_id.text)
        data = identity.data or (None if known is None else known.data) or DeviceData()
        self.devices[identity.device_id.text] = HubIdentity(
            identity.device_id, identity.keys, identity.thumbprints, data
        )
        await self._next(self.after)

    async def data(self, device_id: DeviceId) -> DeviceData | None:
        await self._next(self.before, f"data {device_id}")
        known = self.devices.get(device_id.text)
        await self._next(self.after)
        return None if known is None else known.data

    async def delete(self, device_id: DeviceId) -> None:
        await self._next(self.before, f"delete {device_id}")
        self.devices.pop(device_id.text, None)
        await self._next(self.after)

    async def _next(self, faults: deque[Fault | None], call: str | None = None) -> None:
        if call is not None:
            self.calls.append(call)
        fault = faults.popleft() if faults else None
        if fault is not None:
            await fault()


async def unavailable() -> None:
    raise UpstreamUnavailable("The hub can't answer now.", rule="hub-unavailable", retry_after_s=7)


async def refusing() -> None:
    raise UpstreamRejected("The hub does not accept this service.", rule="hub-refused")


async def broken() -> None:
    raise RuntimeError("a defect of the connector")


async def forever() -> None:
    await asyncio.Event().wait()
