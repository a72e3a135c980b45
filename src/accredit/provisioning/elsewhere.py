"""Elsewhere: waiting for an operation that another process works on.

Its end is told over the bus; as the bus may lose words, the store is asked now and then as well.
"""

from __future__ import annotations

import asyncio

from accredit.domain.registration import OperationState
from accredit.domain.subjects import Subject
from accredit.interfaces import Store
from accredit.processes import Bus

POLL_S = 0.5


class Elsewhere:
    """Who waits here, by operation."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._waiting: dict[str, set[asyncio.Event]] = {}
        bus.hear(Subject.OPERATION, self._told)

    def _told(self, operation_id: str) -> None:
        for told in self._waiting.get(operation_id, ()):
            told.set()

    async def ended(self, operation_id: str, patience_s: float) -> bool:
        """Wait until the operation has ended, at most `patience_s` seconds. Raises StoreUnavailable."""
        told = asyncio.Event()
        waiting = self._waiting.setdefault(operation_id, set())
        waiting.add(told)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + patience_s
        try:
            while True:
                told.clear()
                operation = await self._store.operation(operation_id)
                if operation is None or operation.state is not OperationState.OPEN:
                    return True
                left_s = give_up_at - loop.time()
                if left_s <= 0:
                    return False
                try:
                    async with asyncio.timeout(min(POLL_S, left_s)):
                        await told.wait()
                except TimeoutError:
                    continue
        finally:
            waiting.discard(told)
            if not waiting:
                self._waiting.pop(operation_id, None)
