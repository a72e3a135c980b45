"""Lost orders: what an order whose answer was lost has made is looked up again, after its operation has ended.

A CA may sign an order long after nobody waits for it, or show only later what it had signed. Whatever appears serves
nobody: it goes on record and is revoked at its CA. It is an orphan when key and name are those of the order, its
serial is not in the log, and it does not begin earlier than the intent, but for what CAs backdate. While an order of the
same device is under way nothing is judged: what appears may be that one's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from accredit.domain.changes import LookAgain
from accredit.domain.credential import IssuedChain
from accredit.domain.custody import LostOrder
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Authority, FindsOrder, Stale, StoreUnavailable, Unknown
from accredit.observe import log
from accredit.policy.retry import LOST_ORDER_LOOKS
from accredit.provisioning.ask import answer_to, unaccounted
from accredit.provisioning.intent import Intent, Superseded
from accredit.provisioning.means import Means
from accredit.values import replace

DUTY = "lost orders"

AT_ONCE = 50
_IDLE_S = 60.0

_BUSY_S = 120
"""When to look again where another order of the device, or its CA, stands in the way."""


class LostOrders:
    """`revoked` hears when something is to be revoked at a CA."""

    def __init__(self, means: Means, revoked: Callable[[], None]) -> None:
        self._means = means
        self._store = means.store
        self._revoked = revoked
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="lost orders")

    async def stop(self) -> None:
        """What is due is looked up by the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            more = False
            try:
                more = await self._means.leases.mine(DUTY) and await self.look()
            except (StoreUnavailable, Stale) as failure:
                log.warning("store-unavailable", work="lost-orders", reason=str(failure))
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                log.exception("lost-orders-failed")
            if not more:
                await self._means.sleep(_IDLE_S)

    async def look(self) -> bool:
        """Go once through what is due now; True when more may be. Raises StoreUnavailable."""
        due = await self._store.lost_orders(self._means.now(), AT_ONCE)
        silent: set[AuthorityName] = set()
        for lost in due:
            try:
                await self._looked_up(lost, silent)
            except (StoreUnavailable, Stale):
                raise
            except Exception:  # noqa: BLE001 - logged with its trace; one order must not stand in the way of the others
                log.exception("lost-orders-failed", operationId=lost.operation_id)
                await self._later(lost)
        return len(due) == AT_ONCE

    async def _looked_up(self, lost: LostOrder, silent: set[AuthorityName]) -> None:
        """Ask once. A CA that has just not answered is not asked for the others: theirs come later."""
        operation = await self._store.operation(lost.operation_id)
        authority = await self._means.authorities.get(lost.authority)
        if operation is None or (authority is not None and not isinstance(authority, FindsOrder)):
            await self._again(lost, None)
            return
        if (
            authority is None
            or lost.authority in silent
            or await self._store.is_ordering(operation.registration_id)
        ):
            await self._again(lost, self._means.now() + _BUSY_S)
            return
        intent = Intent(self._means, replace(operation, authority=lost.authority))
        found = await self._found(intent, authority)
        if found is None:
            silent.add(lost.authority)
        elif await self._store.is_ordering(operation.registration_id):
            await self._again(lost, self._means.now() + _BUSY_S)
            return
        else:
            await self._keep(intent, found)
        await self._later(lost)

    async def _found(self, intent: Intent, authority: Authority) -> Sequence[IssuedChain] | None:
        """The orphans; None when the CA did not answer."""
        assert isinstance(authority, FindsOrder)
        found = await answer_to(intent, authority.find(await intent.order()))
        if isinstance(found, Unknown):
            log.warning("lost-order-not-looked-up", authority=authority.name.text, reason=found.reason)
            return None
        return await unaccounted(self._store, intent, authority, found)

    async def _keep(self, intent: Intent, orphans: Sequence[IssuedChain]) -> None:
        for orphan in orphans:
            try:
                await intent.keep(orphan, stray=True)
            except Superseded:
                # Somebody else has recorded or revoked it in this moment; the next look tells.
                continue
            self._revoked()

    async def _later(self, lost: LostOrder) -> None:
        """One look more is done."""
        looks = lost.looks + 1
        wait_s = LOST_ORDER_LOOKS.wait_s(looks, self._means.jitter())
        await self._again(replace(lost, looks=looks), self._means.now() + wait_s)

    async def _again(self, lost: LostOrder, at: int | None) -> None:
        """Look at this instant, at the latest when the watch ends; None, or a watch that has ended, is never."""
        over = at is None or self._means.now() >= lost.watch_until
        next_look_at = None if over or at is None else min(at, lost.watch_until)
        await self._store.commit([LookAgain(lost.operation_id, lost.authority, lost.looks, next_look_at)])
