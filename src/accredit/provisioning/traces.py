"""Where decision traces are kept: of proven devices in the store, of everybody else in a ring of this process.

Nothing is written for a peer that has proven nothing. The ring forgets the oldest, and everything at a restart; who looks
for a trace that is in neither place is told that it is not kept here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from accredit.domain.ids import RegistrationId
from accredit.domain.trace import DecisionTrace
from accredit.interfaces import Page, Store

RING_TRACES = 2_000
"""A few megabytes at most: each text in a trace is bounded."""


class Traces:
    def __init__(self, store: Store, ring_traces: int = RING_TRACES) -> None:
        self._store = store
        self._most = ring_traces
        self._ring: OrderedDict[str, DecisionTrace] = OrderedDict()

    def remember(self, trace: DecisionTrace) -> None:
        """Keep it in this process for as long as there is room."""
        self._ring.pop(trace.tracking_id, None)
        self._ring[trace.tracking_id] = trace
        if len(self._ring) > self._most:
            self._ring.popitem(last=False)

    async def find(self, tracking_id: str) -> DecisionTrace | None:
        remembered = self._ring.get(tracking_id)
        return remembered if remembered is not None else await self._store.trace(tracking_id)

    async def page(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[DecisionTrace]:
        """What this process remembers comes first, all of it on the first page, then what is stored."""
        stored = await self._store.traces(registration_id, cursor, limit)
        if cursor is not None:
            return stored
        return Page([*self._remembered(registration_id), *stored.rows], stored.cursor)

    def _remembered(self, registration_id: RegistrationId | None) -> Sequence[DecisionTrace]:
        return [
            trace
            for trace in self._ring.values()
            if registration_id is None or trace.registration_key == registration_id.key
        ]
