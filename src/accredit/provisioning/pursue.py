"""Pursue one open operation to its end, phase by phase: ask webhooks, order, bind; what each answer leads to.

Here is the order of things, and how an operation fails. What is done in a phase is in `consult.py`, `ordering.py` and
`place.py`; an answer that could not be made durable is kept in hand, so that nobody is asked twice for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from accredit.domain.changes import Change, SaveOperation, SaveRegistration
from accredit.domain.credential import IssuedChain
from accredit.domain.errors import AccreditError, Refused, UpstreamRejected
from accredit.domain.registration import Operation, OperationState, Phase, Status
from accredit.interfaces import Delivered, OrderAnswer, Stale, WebhookAnswer
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.provisioning import consult, names, ordering
from accredit.provisioning.complete import ROUNDS
from accredit.provisioning.intent import Failure, Intent, Superseded
from accredit.provisioning.means import Means, pause
from accredit.provisioning.place import place, told_for_nothing
from accredit.provisioning.refusals import failed_order
from accredit.provisioning.releases import Releases
from accredit.values import replace
from accredit.wire.refusals import on_the_wire

_TOO_LATE = {
    Phase.ADMIT: ("The registration webhook did not answer in time; register again.", "webhook-silent"),
    Phase.ALLOCATE: ("The allocation webhook did not answer in time; register again.", "webhook-silent"),
    Phase.ORDER: ("The certificate authority did not answer in time; register again.", "ca-timeout"),
    Phase.BIND: ("The hub did not answer in time; register again.", "hub-timeout"),
}


class Pursuit:
    """One run of one operation, from its durable state to its end. Raises Superseded when it ended otherwise.

    `order_in_hand` and `word_in_hand` are answers that are not acted on yet, of an authority and of a webhook: who runs
    the operation again after a failure hands the pursuit's own in.
    """

    def __init__(
        self,
        means: Means,
        operation: Operation,
        stopping: asyncio.Event,
        releases: Releases,
        earlier: Pursuit | None = None,
    ) -> None:
        self._means = means
        self._store = means.store
        self._stopping = stopping
        self._releases = releases
        self._intent = Intent(means, operation)
        self._tries = 0
        # What was said in another phase has done its work, even if it could not be seen to stand.
        if earlier is not None and earlier.operation.phase is not operation.phase:
            earlier = None
        self.order_in_hand: OrderAnswer | None = None if earlier is None else earlier.order_in_hand
        self.word_in_hand: WebhookAnswer | None = None if earlier is None else earlier.word_in_hand

    @property
    def operation(self) -> Operation:
        """As it was last read or written."""
        return self._intent.operation

    async def end(self, *, broken: bool) -> None:
        """Run, or give up when an earlier run was `broken` and the deadline has passed."""
        if broken and self._means.now() >= self.operation.deadline_at:
            await self.give_up()
        else:
            await self.run()

    async def run(self) -> None:
        while not self._stopping.is_set():
            phase = self.operation.phase
            try:
                wait_s = await self._step()
            except (Refused, UpstreamRejected) as refusal:
                await self._fail(refusal)
                return
            except Failure as failure:
                await self._fail(failure.refusal, failure.kept, certain=failure.certain)
                return
            if self.operation.state is not OperationState.OPEN:
                return
            if self.operation.phase is not phase:
                self._tries = 0
                continue
            left_s = self.operation.deadline_at - self._means.now()
            if left_s <= 0:
                await self.give_up()
                return
            await pause(self._means, self._stopping, min(self._wait_s(wait_s), left_s))

    async def give_up(self) -> None:
        """End it as failed: the deadline has passed."""
        in_hand = self.order_in_hand
        kept = (in_hand.issued,) if isinstance(in_hand, Delivered) else ()
        sentence, rule = _TOO_LATE[self.operation.phase]
        await self._fail(UpstreamRejected(sentence, rule=rule), kept)

    def _wait_s(self, asked_for_s: int | None) -> int:
        """A webhook's pauses are its own, and short; the others grow with the attempts that are on record."""
        if self.operation.phase in (Phase.ADMIT, Phase.ALLOCATE):
            return asked_for_s or 0
        return max(asked_for_s or 0, AUTHORITY_RETRY.wait_s(self.operation.attempt, self._means.jitter()))

    async def _step(self) -> int | None:
        """Do the phase's work once, and make durable what came of it; the seconds to wait before it is tried again."""
        means, intent = self._means, self._intent
        if self.operation.phase is Phase.BIND:
            return await place(means, self._releases, intent)
        if self.operation.phase is Phase.ORDER:
            if self.order_in_hand is None:
                self.order_in_hand = await ordering.asked(means, intent)
            wait_s = await ordering.act_on(means, intent, self.order_in_hand)
            self.order_in_hand = None
            return wait_s
        if self.word_in_hand is None:
            self.word_in_hand = await consult.asked(means, intent)
            self._tries += 1
        wait_s = await consult.act_on(means, intent, self.word_in_hand, self._tries)
        self.word_in_hand = None
        return wait_s

    async def _fail(
        self, refusal: AccreditError, kept: Sequence[IssuedChain] = (), *, certain: bool = False
    ) -> None:
        """End the operation as failed; the device's earlier certificate and binding stay as they were.

        `kept` goes on record, unbound. Unless it is `certain` what became of the order, its doubt is noted too.
        """
        for issued in kept:
            await self._intent.keep(issued)
        ordered = self.operation.phase is Phase.ORDER and self.operation.submitted
        in_doubt = ordered and not kept and not certain
        for _ in range(ROUNDS):
            ended, unit = await self._failed(refusal)
            if in_doubt:
                unit[:0] = self._intent.lost()
            try:
                await self._store.commit(unit)
            except Stale as stale:
                if isinstance(stale.change, SaveOperation):
                    raise Superseded from stale
            else:
                self._intent.operation = ended
                self._releases.wake()
                self._intent.log(
                    "failed", rule=refusal.rule, reason=refusal.message, evidence=refusal.evidence
                )
                return
        raise Superseded

    async def _failed(self, refusal: AccreditError) -> tuple[Operation, list[Change]]:
        operation = self.operation
        code = on_the_wire(refusal).code
        previous = await self._store.registration(operation.registration_id)
        ended = replace(
            operation,
            state=OperationState.FAILED,
            error_code=code,
            error_message=refusal.message,
        )
        unit: list[Change] = [
            SaveOperation(ended, operation.fence),
            *await told_for_nothing(self._means, operation),
            *await failed_order(self._means, operation, refusal),
        ]
        if previous is not None and previous.status is not Status.ASSIGNED:
            failed = replace(
                previous,
                status=Status.FAILED,
                error_code=code,
                error_message=refusal.message,
                operation_id=operation.id,
                updated_at=self._means.now(),
                etag=names.etag(self._means.entropy),
            )
            unit.append(SaveRegistration(failed, previous.etag))
        return ended, unit
