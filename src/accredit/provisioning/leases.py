"""Leases: what keeps two processes from doing the same work, and lets one finish what another had begun.

A lease is a row with an owner and an end by the database's clock, so that no machine's clock matters. Who holds one
calls others only in a time that ends before the lease does; who lost one learns of it by what it can't commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from weakref import WeakValueDictionary

from accredit.domain.changes import AssertLease, Change, EndLease, TakeLease
from accredit.domain.lease import Lease
from accredit.interfaces import Clock, Stale, Store, StoreUnavailable

LEASE_S = 60
"""How long an operation waits for its owner before another process goes on with it; longer than any call to an authority."""

DUTY_S = 15
"""The same for work that never ends."""

MARGIN_S = 5
"""How long before a lease's end whoever is called under it must have answered."""

_ASK_AGAIN_S = 0.2


class Alone:
    """The leases of the one process that owns the database: all are its own, and none is written."""

    shared = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns = _Turns()

    def now(self) -> int:
        return int(self._clock.now())

    def until(self) -> int:
        return self.now() + LEASE_S

    def in_time(self, expires_at: int) -> AbstractAsyncContextManager[object]:  # noqa: ARG002 - nobody else takes it
        return nullcontext()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[Lease]:
        async with self._turns.of(name):
            yield Lease(name, "", self.until(), 0)

    def held(self, lease: Lease) -> Sequence[Change]:  # noqa: ARG002 - it can't be lost
        return ()

    async def mine(self, duty: str) -> bool:  # noqa: ARG002 - every duty is
        return True


class Shared:
    """The leases of one of several processes, which `owner` names."""

    shared = True

    def __init__(
        self,
        store: Store,
        owner: str,
        clock: Clock,
        lease_s: int = LEASE_S,
        duty_s: int = DUTY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` tells the database's time, never ahead of it."""
        self._store = store
        self._owner = owner
        self._clock = clock
        self._lease_s = lease_s
        self._duty_s = duty_s
        self._sleep = sleep
        self._turns = _Turns()
        self._duties: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def now(self) -> int:
        return int(self._clock.now())

    def until(self) -> int:
        return self.now() + self._lease_s

    def in_time(self, expires_at: int) -> AbstractAsyncContextManager[object]:
        # The clock may be behind the database's by as much as a look at it took: that is in the margin.
        return asyncio.timeout(max(0.0, expires_at - MARGIN_S - self._clock.now()))

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[Lease]:
        async with self._turns.of(name):
            while (lease := await self._taken(name, self._lease_s)) is None:
                await self._sleep(_ASK_AGAIN_S)
            try:
                yield lease
            finally:
                # What can't be given back now ends by itself.
                with suppress(StoreUnavailable):
                    await self._store.commit([EndLease(name, self._owner)])

    def held(self, lease: Lease) -> Sequence[Change]:
        return (AssertLease(lease),)

    async def mine(self, duty: str) -> bool:
        left_s = self._duties.get(duty, 0) - self._clock.now()
        if left_s > self._duty_s / 2:
            return True
        if self._clock.monotonic() < self._not_before.get(duty, 0.0):
            return False
        lease = await self._taken(duty, self._duty_s)
        if lease is None:
            self._duties.pop(duty, None)
            self._not_before[duty] = self._clock.monotonic() + self._duty_s / 5
            return False
        self._duties[duty] = lease.expires_at
        return True

    async def close(self) -> None:
        """Give back what this process does, so that another need not wait for its end."""
        held = [EndLease(duty, self._owner) for duty in self._duties]
        self._duties.clear()
        with suppress(StoreUnavailable):
            await self._store.commit(held)

    async def _taken(self, name: str, seconds: int) -> Lease | None:
        """The lease as it was taken or renewed now, None while it is another's."""
        held, now = await self._store.lease(name), self.now()
        if held is not None and held.owner != self._owner and held.expires_at > now:
            return None
        with suppress(Stale):
            await self._store.commit([TakeLease(name, self._owner, now, now + seconds)])
        taken = await self._store.lease(name)
        return taken if taken is not None and taken.owner == self._owner else None


class _Turns:
    """A lock for each name that is in use, so that within the process turns come in the order in which they were asked for."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
