"""Pursue one open operation to its end: order, poll or look up, and what each answer leads to.

Whatever an authority signed goes on record, bound or not. What an answer *means* is in `interfaces.OrderAnswer`.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace

from accredit.domain.changes import AppendLeaf, Change, SaveOperation, SaveRegistration
from accredit.domain.credential import CertificateRecord, Certified, IssuedChain, Order
from accredit.domain.errors import AccreditError, Refused, UpstreamRejected, UpstreamUnavailable
from accredit.domain.issuance_log import unknown_leaf
from accredit.domain.registration import Allocated, Issued, Operation, OperationState, Status
from accredit.interfaces import (
    Authority,
    Deferred,
    Delivered,
    FindsOrder,
    OrderAnswer,
    Pending,
    PollsOrder,
    Rejected,
    Stale,
    Unknown,
)
from accredit.observe import log
from accredit.policy import issuance
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.provisioning import names
from accredit.provisioning.attest import resumed
from accredit.provisioning.bind import bind
from accredit.provisioning.complete import ROUNDS, complete, lasting_refusal
from accredit.provisioning.issue import PROFILE, certified
from accredit.provisioning.means import LEASE_S, Means
from accredit.provisioning.record import entries, record
from accredit.wire.refusals import on_the_wire

BACKDATING_S = 3_600
"""A certificate found at the CA may be this much older than the intent: CAs backdate."""


class Superseded(Exception):
    """The operation ended under our hands: another CSR came, or the registration was deleted."""


class Pursuit:
    """One run of one operation, from its durable state to its end. Raises Superseded when it ended otherwise."""

    def __init__(self, means: Means, operation: Operation, stopping: asyncio.Event) -> None:
        self._means = means
        self._store = means.store
        self._operation = operation
        self._stopping = stopping
        text = b64encode(operation.csr_der).decode()
        self._request = issuance.intake(text, operation.csr_field)

    async def run(self) -> None:
        authority = await self._authority()
        if authority is None:
            if self._operation.submitted:
                await self._note_unknown()
            await self._fail(
                "authority-changed", "The certificate authority was changed meanwhile; register again."
            )
            return
        while not self._stopping.is_set():
            wait_s = await self._act_on(await self._ask(authority), authority)
            if wait_s is None:
                return
            if self._means.now() + wait_s >= self._operation.deadline_at:
                await self._give_up()
                return
            backoff = AUTHORITY_RETRY.wait_s(self._operation.attempt, self._means.jitter())
            await self._means.sleep(max(wait_s, backoff))

    async def _act_on(self, answer: OrderAnswer, authority: Authority) -> int | None:
        """Make the answer durable; None when the operation has ended, else the seconds that the CA asked to wait."""
        match answer:
            case Delivered(issued):
                await self._deliver(authority, issued)
                return None
            case Rejected(reason, rule, stray):
                await self._fail(rule, reason, () if stray is None else (stray,))
                return None
            case Pending(handle, wait_s):
                await self._save(handle=handle)
                return wait_s
            case Deferred(reason, wait_s):
                log.warning("ca-deferred", operationId=self._operation.id, reason=reason)
                if self._operation.handle is None:
                    await self._save(submitted=False)
                return wait_s
            case Unknown(reason):
                log.warning("ca-answer-lost", operationId=self._operation.id, reason=reason)
                return 0

    async def _authority(self) -> Authority | None:
        """The authority the intent names, unless it is gone or was replaced."""
        assert self._operation.authority is not None
        authority = await self._means.authorities.get(self._operation.authority)
        if authority is None or authority.version != self._operation.authority_version:
            return None
        return authority

    async def _ask(self, authority: Authority) -> OrderAnswer:
        """Order, poll, or, when an earlier answer was lost, look it up first."""
        order = self._order()
        handle = self._operation.handle
        if handle is not None and isinstance(authority, PollsOrder):
            answer = await authority.poll(order, handle)
            if isinstance(answer, Delivered) and await self._store.serial_known(
                authority.name, answer.issued.serial
            ):
                # An earlier certificate of the same key: this order's is not there yet.
                return Pending(handle, 0)
            return answer
        if self._operation.submitted:
            found = await self._look_up(authority, order)
            if found is not None:
                return found
        if self._means.now() >= self._operation.deadline_at:
            return Deferred("the deadline has passed", 0)
        await self._save(submitted=True, attempt=self._operation.attempt + 1)
        return await authority.order(self._order())

    async def _look_up(self, authority: Authority, order: Order) -> Delivered | Unknown | None:
        """What the lost answer has made: adopt the newest that is ours, log every other; None when there is nothing."""
        if isinstance(authority, FindsOrder):
            try:
                found = await authority.find(order)
            except (UpstreamUnavailable, UpstreamRejected) as error:
                return Unknown(error.message)
            fresh = [
                issued
                for issued in found
                if issued.not_before >= order.since - BACKDATING_S
                and not await self._store.serial_known(authority.name, issued.serial)
            ]
            for other in fresh[1:]:
                await self._keep(other)
            if fresh:
                return Delivered(fresh[0])
        await self._note_unknown()
        return None

    async def _note_unknown(self) -> None:
        """One entry `unknown` for a signature that may exist and that nobody could find."""
        operation = self._operation
        assert operation.authority is not None
        leaf = unknown_leaf(operation.authority, self._request.csr_sha256, self._means.now())
        saved = self._renewed(submitted=False)
        await self._commit([AppendLeaf(leaf), SaveOperation(saved, operation.fence)])
        self._operation = saved

    async def _deliver(self, authority: Authority, issued: IssuedChain) -> None:
        """Record, bind and complete in one unit, or keep the certificate on record unbound."""
        operation = self._operation
        refusal: AccreditError = Refused(
            "The enrollment was changed meanwhile; register again.", rule="changed-meanwhile"
        )
        for _ in range(ROUNDS):
            enrollment = await self._store.enrollment(operation.enrollment)
            if enrollment is None or enrollment.etag != operation.enrollment_etag or not enrollment.enabled:
                break
            allocated = Allocated(
                attested=resumed(operation, enrollment),
                registration_id=operation.registration_id,
                previous=await self._store.registration(operation.registration_id),
                device_id=operation.device_id,
                hub=operation.hub,
                substatus=operation.substatus,
            )
            now = self._means.now()
            receipt = certified(allocated, authority, self._request, issued, operation.id, now)
            try:
                await self._complete(receipt, now)
            except Stale as stale:
                if isinstance(stale.change, SaveOperation):
                    await self._keep(issued)
                    raise Superseded from stale
                lasting = lasting_refusal(stale.change)
                if lasting is not None:
                    refusal = lasting
                    break
            else:
                self._log("assigned", certificate=f"{issued.serial:X}")
                return
        await self._fail(refusal.rule, refusal.message, (issued,))

    async def _complete(self, receipt: Issued, now: int) -> None:
        means, operation = self._means, self._operation
        assert isinstance(receipt.credential, Certified)
        sha256 = receipt.credential.record.issued.sha256
        known = await self._store.certificate(sha256)
        if known is not None:
            receipt = replace(receipt, credential=Certified(known, fresh=False))
        recorded = record(receipt, shared_key=means.shared_key)
        bound = bind(recorded, means.hubs, now, names.etag(means.entropy))
        ended = replace(operation, state=OperationState.ASSIGNED, certificate_sha256=sha256)
        closing = (SaveOperation(ended, operation.fence),)
        etag = names.etag(means.entropy)
        await complete(self._store, bound, operation.csr_field, now, etag, closing)

    async def _give_up(self) -> None:
        """The deadline has passed; a signature in doubt is noted before the failure is told."""
        if self._operation.submitted:
            await self._note_unknown()
        await self._fail("ca-timeout", "The certificate authority did not answer in time; register again.")

    async def _fail(self, rule: str, message: str, strays: Sequence[IssuedChain] = ()) -> None:
        """End the operation as failed; the device's earlier certificate and binding stay as they were."""
        for stray in strays:
            await self._keep(stray)
        operation = self._operation
        code = on_the_wire(UpstreamRejected(message, rule=rule)).code
        ended = replace(operation, state=OperationState.FAILED, error_code=code, error_message=message)
        unit: list[Change] = [SaveOperation(ended, operation.fence)]
        previous = await self._store.registration(operation.registration_id)
        if previous is not None and previous.status is not Status.ASSIGNED:
            failed = replace(
                previous,
                status=Status.FAILED,
                error_code=code,
                error_message=message,
                operation_id=operation.id,
                updated_at=self._means.now(),
                etag=names.etag(self._means.entropy),
            )
            unit.append(SaveRegistration(failed, previous.etag))
        await self._commit(unit)
        self._log("failed", rule=rule, reason=message)

    async def _keep(self, issued: IssuedChain) -> None:
        """Put a signature on record that is not bound to the device."""
        operation = self._operation
        assert operation.authority is not None
        if await self._store.certificate(issued.sha256) is not None:
            return
        if await self._store.serial_known(operation.authority, issued.serial):
            log.error("serial-collision", authority=str(operation.authority), serial=f"{issued.serial:X}")
            return
        unbound = CertificateRecord(
            issued=issued,
            authority=operation.authority,
            authority_version=operation.authority_version,
            profile=operation.profile,
            registration_id=operation.registration_id,
            device_id=operation.device_id,
            enrollment_generation=operation.enrollment_generation,
            csr_sha256=self._request.csr_sha256,
            operation_id=operation.id,
            issued_at=self._means.now(),
        )
        await self._commit(entries(unbound, shared_key=True))

    async def _save(self, **changes: object) -> None:
        saved = self._renewed(**changes)
        await self._commit([SaveOperation(saved, self._operation.fence)])
        self._operation = saved

    def _renewed(self, **changes: object) -> Operation:
        return replace(self._operation, lease_expires_at=self._means.now() + LEASE_S, **changes)  # type: ignore[arg-type]

    async def _commit(self, unit: Sequence[Change]) -> None:
        try:
            await self._store.commit(unit)
        except Stale as stale:
            raise Superseded from stale

    def _order(self) -> Order:
        operation = self._operation
        return Order(
            operation_id=operation.id,
            registration_id=operation.registration_id,
            device_id=operation.device_id,
            request=self._request,
            profile=PROFILE,
            since=operation.created_at,
            attempt=operation.attempt,
        )

    def _log(self, outcome: str, **fields: str) -> None:
        operation = self._operation
        log.info(
            "registration",
            trackingId=operation.tracking_id,
            registrationId=str(operation.registration_id),
            operationId=operation.id,
            enrollment=f"{operation.enrollment.kind}/{operation.enrollment.key}",
            authority=str(operation.authority),
            outcome=outcome,
            **fields,
        )
