"""Pursue one open operation to its end: order, poll or look up, and what each answer leads to.

Whatever an authority signed goes on record, bound or not. What an answer *means* is in `interfaces.OrderAnswer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from accredit.domain.changes import Change, EndSetbacks, SaveOperation, SaveRegistration
from accredit.domain.credential import IssuedChain
from accredit.domain.errors import AccreditError, Refused, UpstreamRejected
from accredit.domain.registration import Allocated, Operation, OperationState, Status
from accredit.interfaces import (
    Authority,
    Deferred,
    Delivered,
    OrderAnswer,
    Pending,
    Rejected,
    Stale,
    Unknown,
)
from accredit.observe import log
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.provisioning import names
from accredit.provisioning.allocate import changed_meanwhile, still_allocated
from accredit.provisioning.ask import answer_to, what_became
from accredit.provisioning.attest import resumed
from accredit.provisioning.bind import bind
from accredit.provisioning.complete import ROUNDS, complete, lasting_refusal
from accredit.provisioning.intent import Intent, Superseded
from accredit.provisioning.issue import certified
from accredit.provisioning.means import Means, pause
from accredit.provisioning.record import record
from accredit.provisioning.refusals import failed_order
from accredit.wire.refusals import on_the_wire
from accredit.wire.rules import RULES
from accredit.wire.service_api.certificates import serial_hex


class Pursuit:
    """One run of one operation, from its durable state to its end. Raises Superseded when it ended otherwise.

    `in_hand` is an answer that is not acted on yet: who runs it again after a failure hands it in.
    """

    def __init__(
        self,
        means: Means,
        operation: Operation,
        stopping: asyncio.Event,
        in_hand: OrderAnswer | None = None,
    ) -> None:
        self._means = means
        self._store = means.store
        self._stopping = stopping
        self._intent = Intent(means, operation)
        self.in_hand = in_hand

    async def end(self, *, broken: bool) -> None:
        """Run, or give up when an earlier run was `broken` and the deadline has passed."""
        if broken and self._means.now() >= self._intent.operation.deadline_at:
            await self.give_up()
        else:
            await self.run()

    async def run(self) -> None:
        authority = await self._intent.authority()
        if authority is None and self.in_hand is None:
            await self._fail(_authority_changed())
            return
        while not self._stopping.is_set():
            try:
                wait_s = await self._step(authority)
            except Refused as refusal:
                await self._fail(refusal)
                return
            if wait_s is None:
                return
            left_s = self._intent.operation.deadline_at - self._means.now()
            if left_s <= 0:
                await self.give_up()
                return
            backoff_s = AUTHORITY_RETRY.wait_s(self._intent.operation.attempt, self._means.jitter())
            await pause(self._means, self._stopping, min(max(wait_s, backoff_s), left_s))

    async def give_up(self) -> None:
        """End it as failed: the deadline has passed."""
        kept = (self.in_hand.issued,) if isinstance(self.in_hand, Delivered) else ()
        refusal = UpstreamRejected(
            "The certificate authority did not answer in time; register again.", rule="ca-timeout"
        )
        await self._fail(refusal, kept)

    async def _step(self, authority: Authority | None) -> int | None:
        """Ask, and make the answer durable; None when the operation has ended, else the seconds to wait.

        Raises Refused when nothing may be ordered any more.
        """
        if self.in_hand is None:
            if authority is None:
                raise _authority_changed()
            self.in_hand = await self._ask(authority)
        wait_s = await self._act_on(self.in_hand)
        self.in_hand = None
        return wait_s

    async def _ask(self, authority: Authority) -> OrderAnswer:
        """Order, or, when that may have been done, ask what became of it first."""
        intent = self._intent
        if intent.operation.submitted:
            answer = await what_became(self._store, intent, authority)
            if answer is not None:
                return answer
            await intent.save(intent.doubt(), submitted=False, handle=None)
        await self._allocated()
        if self._means.now() >= intent.operation.deadline_at:
            return Deferred("the deadline has passed", 0)
        await intent.save(submitted=True, attempt=intent.operation.attempt + 1)
        return await answer_to(intent, authority.order(intent.order()))

    async def _act_on(self, answer: OrderAnswer) -> int | None:
        intent = self._intent
        match answer:
            case Delivered(issued):
                await self._deliver(issued)
                return None
            case Rejected(reason, rule, stray):
                if stray is not None:
                    await intent.keep(stray, stray=True)
                # The CA's own words are for the operator: the device is told which rule it was.
                known = RULES.get(rule, RULES["ca-refused"])
                refusal = UpstreamRejected(known.sentence, rule=rule, evidence=reason)
                await self._fail(refusal, certain=True)
                return None
            case Pending(handle, wait_s):
                await intent.save(handle=handle)
                return wait_s
            case Deferred(reason, wait_s):
                log.warning("ca-deferred", operationId=intent.operation.id, reason=reason)
                if intent.operation.handle is None:
                    await intent.save(submitted=False)
                return wait_s
            case Unknown(reason):
                log.warning("ca-answer-lost", operationId=intent.operation.id, reason=reason)
                return 0

    async def _allocated(self) -> Allocated:
        """Raises Refused when what the intent rests on has changed."""
        operation = self._intent.operation
        enrollment = await self._store.enrollment(operation.enrollment)
        if enrollment is None or enrollment.etag != operation.enrollment_etag:
            raise changed_meanwhile()
        previous = await self._store.registration(operation.registration_id)
        attested = await resumed(self._store, operation, enrollment, self._means.challenges)
        return still_allocated(operation, attested, previous, await self._means.hub_names())

    async def _deliver(self, issued: IssuedChain) -> None:
        """Record, bind and complete in one unit, or keep the certificate on record unbound."""
        refusal: AccreditError = changed_meanwhile()
        for _ in range(ROUNDS):
            try:
                await self._complete(await self._allocated(), issued)
            except Refused as changed:
                refusal = changed
                break
            except Stale as stale:
                if isinstance(stale.change, SaveOperation):
                    raise Superseded from stale
                lasting = lasting_refusal(stale.change)
                if lasting is not None:
                    refusal = lasting
                    break
            else:
                self._intent.log("assigned", certificate=serial_hex(issued.serial))
                return
        await self._fail(refusal, (issued,))

    async def _complete(self, allocated: Allocated, issued: IssuedChain) -> None:
        means, operation = self._means, self._intent.operation
        now = means.now()
        fresh = await self._store.certificate(issued.sha256) is None
        signer = (self._intent.authority_name, operation.authority_version)
        receipt = certified(allocated, signer, self._intent.request, issued, operation.id, now, fresh=fresh)
        recorded = record(receipt, shared_key=means.shared_key)
        bound = await bind(recorded, means.hubs, now, names.etag(means.entropy))
        ended = replace(operation, state=OperationState.ASSIGNED, certificate_sha256=issued.sha256)
        closing: list[Change] = [SaveOperation(ended, operation.fence)]
        if await self._store.setbacks(operation.registration_id) is not None:
            closing.append(EndSetbacks(operation.registration_id))
        etag = names.etag(means.entropy)
        await complete(self._store, bound, operation.csr_field, now, etag, closing)

    async def _fail(
        self, refusal: AccreditError, kept: Sequence[IssuedChain] = (), *, certain: bool = False
    ) -> None:
        """End the operation as failed; the device's earlier certificate and binding stay as they were.

        `kept` goes on record, unbound. Unless it is `certain` what became of the order, its doubt is noted too.
        """
        for issued in kept:
            await self._intent.keep(issued)
        in_doubt = self._intent.operation.submitted and not kept and not certain
        for _ in range(ROUNDS):
            unit = [*([self._intent.doubt()] if in_doubt else []), *await self._failed(refusal)]
            try:
                await self._store.commit(unit)
            except Stale as stale:
                if isinstance(stale.change, SaveOperation):
                    raise Superseded from stale
            else:
                self._intent.log(
                    "failed", rule=refusal.rule, reason=refusal.message, evidence=refusal.evidence
                )
                return
        raise Superseded

    async def _failed(self, refusal: AccreditError) -> Sequence[Change]:
        operation = self._intent.operation
        code = on_the_wire(refusal).code
        ended = replace(
            operation, state=OperationState.FAILED, error_code=code, error_message=refusal.message
        )
        unit: list[Change] = [SaveOperation(ended, operation.fence)]
        unit += await failed_order(self._means, operation, refusal)
        previous = await self._store.registration(operation.registration_id)
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
        return unit


def _authority_changed() -> Refused:
    return Refused(
        "The certificate authority was changed meanwhile; register again.", rule="authority-changed"
    )
