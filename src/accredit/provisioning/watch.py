"""Watch: one task's work on one operation, kept at whatever happens.

A bug or a full disk must not leave a device without an answer for ever: what failed is tried again, with growing pauses,
from what is durable.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from accredit.domain.changes import AssertOperation
from accredit.domain.registration import Operation, OperationState, Phase
from accredit.interfaces import CommitUnknown, Delivered, OrderAnswer, Stale, StoreUnavailable
from accredit.observe import log
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.provisioning.collect import collect
from accredit.provisioning.intent import Intent, Superseded
from accredit.provisioning.means import Means, pause
from accredit.provisioning.place import withdraw
from accredit.provisioning.pursue import Pursuit
from accredit.provisioning.releases import Releases


class Watch:
    """One run of the task; what an earlier try had in hand goes over to the next."""

    def __init__(
        self,
        means: Means,
        releases: Releases,
        operation: Operation,
        stopping: asyncio.Event,
        *,
        unknown: bool = False,
    ) -> None:
        """`unknown`: nobody knows whether `operation` stands."""
        self._means = means
        self._operation = operation
        self._stopping = stopping
        self._releases = releases
        self._pursuit: Pursuit | None = None
        self._broken = False
        self._unknown = unknown

    async def to_the_end(self) -> None:
        """Pursue it, or account for what a superseded one has made."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._pursued()
            except (Superseded, Stale):
                if failures == 0:  # read again: it has ended, or something beside it was changed
                    failures = 1
                    continue
            except StoreUnavailable as failure:
                self._unknown = self._unknown or isinstance(failure, CommitUnknown)
                log.warning("store-unavailable", operationId=self._operation.id)
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                self._broken = True
                log.exception(
                    "order-failed", operationId=self._operation.id, trackingId=self._operation.tracking_id
                )
            else:
                return
            failures += 1
            seconds = AUTHORITY_RETRY.wait_s(failures, self._means.jitter())
            await pause(self._means, self._stopping, seconds)

    async def _pursued(self) -> None:
        if self._unknown:
            await self._settled()
        current = await self._means.store.operation(self._operation.id)
        if current is None or current.fence != self._operation.fence:
            await self._lost()
            return
        if current.state is OperationState.OPEN:
            self._pursuit = Pursuit(self._means, current, self._stopping, self._releases, self._pursuit)
            await self._pursuit.end(broken=self._broken)
        elif current.state is OperationState.SUPERSEDED and current.submitted:
            if current.phase is Phase.BIND:
                await withdraw(self._means, self._releases, current)
                return
            await collect(self._means, current, self._stopping, self._in_hand)

    async def _settled(self) -> None:
        """Have what nobody knows come to an end: the row may change yet under who reads it before."""
        with suppress(Stale):
            await self._means.store.commit([AssertOperation(self._operation.id, self._operation.fence)])
        self._unknown = False
        # Whom that told of an entry in the outbox, if it stands, it has not woken.
        self._releases.wake()

    @property
    def _in_hand(self) -> OrderAnswer | None:
        return None if self._pursuit is None else self._pursuit.order_in_hand

    async def _lost(self) -> None:
        """Another process has the operation. What an authority has signed for us by then goes on record, bound to nothing."""
        if isinstance(self._in_hand, Delivered):
            await Intent(self._means, self._operation).keep(self._in_hand.issued)
