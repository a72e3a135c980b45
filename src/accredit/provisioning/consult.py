"""Consult: the phases in which a webhook is asked, whether the device may register and which hub it gets.

What a webhook said is committed before anything is done about it, and never asked for again. One that says nothing is
asked a few times more; then the operation fails.
"""

from __future__ import annotations

from accredit.domain import allocation as stated
from accredit.domain.errors import Refused, UpstreamRejected
from accredit.domain.registration import Phase
from accredit.interfaces import Said, Silent, Unusable, WebhookAnswer
from accredit.observe import log
from accredit.policy import allocation
from accredit.policy.retry import WEBHOOK_RETRY, WEBHOOK_TRIES
from accredit.provisioning.allocate import by_answer
from accredit.provisioning.intent import Failure, Intent
from accredit.provisioning.means import Means
from accredit.wire import webhooks
from accredit.wire.rules import RULES


async def asked(means: Means, intent: Intent) -> WebhookAnswer:
    """Ask. Raises Refused when what the intent rests on has changed."""
    admitted = await intent.admitted()
    enrollment = admitted.attested.enrollment
    if intent.operation.phase is Phase.ADMIT:
        member, body = stated.PRE_REGISTRATION, webhooks.admission_request(admitted, intent.operation)
    else:
        told = [hub.name for hub in allocation.candidates(enrollment, await means.hubs.linked())]
        member = stated.CUSTOM_ALLOCATION
        body = webhooks.allocation_request(admitted, intent.operation, told)
    webhook = stated.webhook(enrollment, member)
    assert webhook is not None, "the intent names an enrollment that asks"
    return await means.webhooks.ask(webhook, intent.operation.id, body)


async def act_on(means: Means, intent: Intent, answer: WebhookAnswer, tries: int) -> int | None:
    """Make durable what was said; the seconds to wait when nothing was. Raises Failure."""
    match answer:
        case Said(body):
            if intent.operation.phase is Phase.ADMIT:
                await _admit(intent, body)
            else:
                await _allocate(means, intent, body)
            return None
        case Unusable(reason, rule):
            raise Failure(UpstreamRejected(RULES[rule].sentence, rule=rule, evidence=reason))
        case Silent(reason, wait_s):
            log.warning("webhook-silent", operationId=intent.operation.id, reason=reason)
            if tries >= WEBHOOK_TRIES:
                sentence = RULES["webhook-silent"].sentence
                raise Failure(UpstreamRejected(sentence, rule="webhook-silent", evidence=reason))
            return wait_s if wait_s is not None else WEBHOOK_RETRY.wait_s(tries, means.jitter())


async def _admit(intent: Intent, body: bytes) -> None:
    verdict = webhooks.read_verdict(body)
    if not verdict.allowed:
        raise Failure(
            Refused(
                "The registration is not allowed.",
                rule="registration-denied",
                hint="the enrollment's preRegistrationWebhook denied it",
                evidence=verdict.reason or "the webhook gave no reason",
            )
        )
    phase = Phase.ALLOCATE if intent.operation.hub is None else intent.after_allocation
    await intent.save(phase=phase)


async def _allocate(means: Means, intent: Intent, body: bytes) -> None:
    said = webhooks.read_allocation(body)
    admitted, linked = await intent.admitted(), await means.hubs.linked()
    allocated = by_answer(admitted, linked, said.hub, said.initial_twin, said.payload)
    await intent.save(
        phase=intent.after_allocation,
        hub=allocated.hub,
        substatus=allocated.substatus,
        fate=allocated.fate,
        initial_twin=allocated.initial_twin,
        answer=allocated.payload,
    )
