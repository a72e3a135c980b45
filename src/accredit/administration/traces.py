"""Decision traces as the operator asks for them. Reading only; who keeps them is the caller's affair."""

from __future__ import annotations

from typing import Protocol

from accredit.domain.errors import NotFound
from accredit.domain.ids import RegistrationId
from accredit.domain.trace import DecisionTrace
from accredit.interfaces import Page, Store
from accredit.values import dataclass
from accredit.wire.service_api.queries import Paging


class KeepsTraces(Protocol):
    """Whoever keeps traces: the store, and what a process remembers besides."""

    async def find(self, tracking_id: str) -> DecisionTrace | None: ...

    async def page(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[DecisionTrace]: ...


@dataclass(frozen=True, slots=True)
class StoredTraces:
    """What is in the store, and nothing besides."""

    store: Store

    async def find(self, tracking_id: str) -> DecisionTrace | None:
        return await self.store.trace(tracking_id)

    async def page(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[DecisionTrace]:
        return await self.store.traces(registration_id, cursor, limit)


@dataclass(frozen=True, slots=True)
class DecisionTraces:
    kept: KeepsTraces

    async def read(self, tracking_id: str) -> DecisionTrace:
        """Raises NotFound."""
        trace = await self.kept.find(tracking_id)
        if trace is None:
            raise NotFound(
                "No decision trace of this tracking id is kept here.",
                rule="trace-unknown",
                hint="traces of devices that proved nothing are remembered by one process until it restarts, the newest 2000; "
                "those of proven devices are stored; the log has a line of each",
            )
        return trace

    async def page(self, registration_id: RegistrationId | None, paging: Paging) -> Page[DecisionTrace]:
        return await self.kept.page(registration_id, paging.cursor, paging.limit)
