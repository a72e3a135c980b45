"""Collect: what the order of a superseded operation has made goes on record, and is bound to nothing.

An operation is superseded by another CSR, or by the deletion of its registration, while its authority may be signing.
Until the operation's deadline the authority is asked what became of the order; after it an entry `unknown` is left.
"""

from __future__ import annotations

import asyncio

from accredit.domain.changes import SettleOperation
from accredit.domain.credential import IssuedChain
from accredit.domain.registration import Operation
from accredit.interfaces import Deferred, Delivered, OrderAnswer, Pending, Rejected, Unknown
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.provisioning.ask import what_became
from accredit.provisioning.intent import Intent
from accredit.provisioning.means import Means, pause
from accredit.values import replace


async def collect(
    means: Means, operation: Operation, stopping: asyncio.Event, in_hand: OrderAnswer | None = None
) -> None:
    """`in_hand` is the answer that came while the operation was superseded, if one did."""
    intent = Intent(means, operation)
    authority = await intent.authority()
    answer = in_hand
    while not stopping.is_set():
        if answer is None and authority is not None:
            answer = await what_became(means.store, intent, authority)
        wait_s = await _account_for(intent, answer)
        if wait_s is None:
            return
        left_s = operation.deadline_at - means.now()
        if left_s <= 0 or authority is None:
            await intent.commit([*intent.lost(), SettleOperation(operation.id, operation.fence)])
            return
        backoff_s = AUTHORITY_RETRY.wait_s(operation.attempt, means.jitter())
        await pause(means, stopping, min(max(wait_s, backoff_s), left_s))
        answer = None


async def _account_for(intent: Intent, answer: OrderAnswer | None) -> int | None:
    """Put on record what the answer tells; the seconds to wait when it tells nothing yet."""
    settled = SettleOperation(intent.operation.id, intent.operation.fence)
    match answer:
        case Delivered(issued):
            await intent.keep(issued, settled)
        case Rejected(stray=IssuedChain() as stray):
            await intent.keep(stray, settled, stray=True)
        case Rejected() | Deferred():
            await intent.commit([settled])
        case None:
            await intent.commit([*intent.lost(), settled])
        case Pending(handle, wait_s):
            intent.operation = replace(intent.operation, handle=handle)
            return wait_s
        case Unknown():
            return 0
    return None
