"""Witnessing: each new head of the issuance log is shown to the witness, again and again until it has taken it.

Nobody waits for that. Of heads that pile up while the witness is silent only the newest is shown, for it covers what the
others cover; which sizes were taken is on record. A start shows the newest head again, and says so aloud where the log
is not what the witness took last: somebody has put another database in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from accredit.domain.changes import RecordWitnessed
from accredit.domain.tree_head import TreeHead
from accredit.domain.witness import Witnessed, WitnessStanding
from accredit.interfaces import Clock, Stale, Store, StoreUnavailable
from accredit.observe import log
from accredit.policy.retry import WITNESS_RETRY
from accredit.witness import NotTaken, Witness

BEHIND_S = 60
"""A head that was not taken for so long is a reason to warn."""

_LAST_TRY_S = 3.0
"""How long a stop waits for the witness: what it does not take then, it is shown by the next start."""


class Witnessing:
    """`jitter` is a random number from 0 to 1."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        witness: Witness,
        jitter: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._witness = witness
        self._jitter = jitter
        self._sleep = sleep
        self._waiting: TreeHead | None = None
        self._since = 0
        self._failure: str | None = None
        self._contradiction: str | None = None
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def told(self, head: TreeHead) -> None:
        """Hear of a new head (`Sequencer`); returns at once."""
        if self._waiting is None:
            self._since = int(self._clock.now())
        self._waiting = head
        self._woken.set()

    def standing(self) -> WitnessStanding:
        head = self._waiting
        if head is None:
            return WitnessStanding(self._witness.name, contradiction=self._contradiction)
        return WitnessStanding(
            self._witness.name,
            is_behind=self._clock.now() - self._since > BEHIND_S,
            waiting_size=head.size,
            waiting_since=self._since,
            failure=self._failure,
            contradiction=self._contradiction,
        )

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="witness")

    async def stop(self) -> None:
        """Show what is left once more, and end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_TRY_S):
                await self._try()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        failures = 0
        has_begun = False
        while True:
            self._woken.clear()
            has_begun = has_begun or await self._begin()
            failures = 0 if await self._try() and has_begun else failures + 1
            if failures:
                # Heads that come meanwhile take the place of the one that waits, and hurry nobody.
                await self._sleep(WITNESS_RETRY.wait_s(failures, self._jitter()))
            else:
                await self._woken.wait()

    async def _begin(self) -> bool:
        """Compare what the witness took last with the log, and let the newest head be shown; False to try that again."""
        try:
            last = await self._witness.last()
            newest = await self._store.tree_head()
            if last is not None:
                ours = await self._store.tree_head(last.size)
                if ours is None or ours.root != last.root:
                    self._contradict(last)
        except (NotTaken, StoreUnavailable) as failure:
            log.warning("log-witness-behind", witness=self._witness.name, reason=str(failure))
            return False
        except Exception:  # noqa: BLE001 - logged with its trace, and tried again
            log.exception("log-witness-failed")
            return False
        if newest is not None and newest != last and self._waiting is None:
            await self.told(newest)
        return True

    def _contradict(self, last: TreeHead) -> None:
        self._contradiction = f"the log does not begin with the {last.size} leaves that the witness has taken"
        log.error(
            "log-witness-contradicted", witness=self._witness.name, size=last.size, root=last.root.hex()
        )

    async def _try(self) -> bool:
        """Show the newest head that was not taken, whatever happens; True when that one is."""
        async with self._turn:
            return await self._shown()

    async def _shown(self) -> bool:
        head = self._waiting
        if head is None:
            return True
        try:
            await self._witness.take(head)
            await self._taken(head)
        except NotTaken as failure:
            self._failure = str(failure)
            log.warning(
                "log-witness-behind",
                witness=self._witness.name,
                size=head.size,
                waitingSince=self._since,
                reason=self._failure,
            )
            return False
        except Exception:  # noqa: BLE001 - logged with its trace, and tried again
            self._failure = "a defect, which the log tells"
            log.exception("log-witness-failed", size=head.size)
            return False
        return True

    async def _taken(self, head: TreeHead) -> None:
        now = int(self._clock.now())
        self._failure = None
        if self._waiting is head:
            self._waiting = None
        else:
            self._since = now
        log.info("log-head-witnessed", witness=self._witness.name, size=head.size)
        try:
            await self._store.commit([RecordWitnessed(Witnessed(self._witness.name, head.size, now))])
        except (Stale, StoreUnavailable) as failure:
            # The witness has it, whatever our own record of that says.
            log.warning("store-unavailable", work="witnessing", reason=str(failure))
