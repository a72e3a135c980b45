"""Order: the phase in which the certificate is made, by an authority outside or our own: order, poll or look up.

Whatever an authority signed goes on record, bound or not. What an answer *means* is in `interfaces.OrderAnswer`. Our
own authority needs no doubt: what it signed and was not committed was never shown to anybody.
"""

from __future__ import annotations

from accredit.domain.changes import SaveOperation
from accredit.domain.credential import IssuedChain
from accredit.domain.errors import Refused, UpstreamRejected
from accredit.domain.registration import Allocated, Issued, Phase
from accredit.interfaces import Deferred, Delivered, OrderAnswer, Pending, Rejected, Unknown
from accredit.observe import log
from accredit.provisioning.ask import answer_to, what_became
from accredit.provisioning.intent import Failure, Intent, until_it_stands
from accredit.provisioning.issue import certified
from accredit.provisioning.means import Means
from accredit.provisioning.place import finish, in_one_unit
from accredit.provisioning.record import record
from accredit.values import replace
from accredit.wire.rules import RULES

TRIES = 2
"""How often an authority that can't take an order is asked before the next one of the enrollment is."""


async def asked(means: Means, intent: Intent) -> OrderAnswer:
    """Order, or, when that may have been done, ask what became of it first. Raises Refused when nothing may be ordered."""
    authority = await intent.authority()
    if authority is None:
        raise _authority_changed()
    if intent.operation.submitted:
        answer = await what_became(means.store, intent, authority)
        if answer is not None:
            return answer
        await intent.save(*intent.lost(), submitted=False, handle=None)
    await intent.allocated()
    if means.now() >= intent.operation.deadline_at:
        return Deferred("the deadline has passed", 0)
    if authority.in_process:
        return await authority.order(await intent.order())
    await intent.save(submitted=True, attempt=intent.operation.attempt + 1)
    try:
        # Another process goes on with the operation once the lease has ended: by then no order may be on its way.
        async with means.leases.in_time(intent.operation.lease_expires_at):
            return await answer_to(intent, authority.order(await intent.order()))
    except TimeoutError:
        return Unknown("no answer while the operation was leased")


async def act_on(means: Means, intent: Intent, answer: OrderAnswer) -> int | None:
    """Make the answer durable; the seconds to wait before the next question, None when there is none. Raises Failure."""
    means.tallies.orders.add(str(intent.operation.authority), type(answer).__name__.lower())
    match answer:
        case Delivered(issued):
            await _deliver(means, intent, issued)
            return None
        case Rejected(reason, rule, stray):
            if stray is not None:
                await intent.keep(stray, stray=True)
            # The CA's own words are for the operator: the device is told which rule it was.
            known = RULES.get(rule, RULES["ca-refused"])
            refusal = UpstreamRejected(known.sentence, rule=rule, evidence=reason)
            raise Failure(refusal, certain=True)
        case Pending(handle, wait_s):
            await intent.save(handle=handle)
            return wait_s
        case Deferred(reason, wait_s):
            log.warning("ca-deferred", operationId=intent.operation.id, reason=reason)
            if intent.operation.handle is not None:
                return wait_s
            return await _passed_on(intent, wait_s)
        case Unknown(reason):
            log.warning("ca-answer-lost", operationId=intent.operation.id, reason=reason)
            return 0


async def _passed_on(intent: Intent, wait_s: int) -> int:
    """Nothing can have been signed: the order stays here, or goes to the next authority that the enrollment names.

    After a lost answer it never goes on: that is looked up, and the same authority asked again, first.
    """
    here = intent.operation
    tried_enough = here.attempt > 0 and here.attempt % TRIES == 0
    other = await intent.next_authority() if tried_enough else None
    if other is None:
        await intent.save(submitted=False)
        return wait_s
    await intent.save(submitted=False, authority=other.name, authority_version=other.version)
    log.warning(
        "ca-failover", operationId=here.id, authority=str(here.authority), next=str(other.name), tries=TRIES
    )
    return 0


async def _deliver(means: Means, intent: Intent, issued: IssuedChain) -> None:
    """Record, bind and complete in one unit where that can be; else put it on record first, for the phase of binding."""

    async def attempt() -> None:
        receipt = await _receipt(means, intent, await intent.allocated(), issued)
        if await in_one_unit(means, receipt.allocated):
            await finish(means, intent, receipt)
        else:
            await _on_record(means, intent, receipt, issued)

    try:
        refusal = await until_it_stands(attempt)
    except Refused as changed:
        refusal = changed
    if refusal is not None:
        raise Failure(refusal, (issued,))


async def _receipt(means: Means, intent: Intent, allocated: Allocated, issued: IssuedChain) -> Issued:
    operation = intent.operation
    fresh = await means.store.certificate(issued.sha256) is None
    signer = (intent.authority_name, operation.authority_version)
    label = operation.profile
    return certified(allocated, signer, intent.request, label, issued, operation.id, means.now(), fresh=fresh)


async def _on_record(means: Means, intent: Intent, receipt: Issued, issued: IssuedChain) -> None:
    recorded = record(receipt, shared_key=means.shared_key)
    saved = replace(
        intent.operation, phase=Phase.BIND, certificate_sha256=issued.sha256, submitted=False, handle=None
    )
    await means.store.commit([*recorded.changes, SaveOperation(saved, intent.operation.fence)])
    intent.operation = saved


def _authority_changed() -> Refused:
    return Refused(
        "The certificate authority was changed meanwhile; register again.", rule="authority-changed"
    )
