"""One call of a webhook: signed, bounded in time and size, to where it may go, and nowhere else.

Nothing is retried here and nothing is understood: an answer is its bytes, or why there are none.
"""

from __future__ import annotations

from accredit.domain.allocation import Webhook
from accredit.egress import AnswerLost, Egress, NotSent
from accredit.interfaces import Clock, Said, Silent, Unusable, WebhookAnswer
from accredit.policy.retry import retry_after_s
from accredit.wire.webhooks import OPERATION, SIGNATURE, TIMESTAMP, signature

CALL_S = 10.0
CONNECT_S = 3.0

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Webhooks:
    """`interfaces.Webhooks` over outbound HTTP. The pool is shared: what hangs is cut off after `call_s`."""

    def __init__(self, egress: Egress, clock: Clock, call_s: float = CALL_S) -> None:
        self._egress = egress
        self._clock = clock
        self._call_s = call_s

    async def ask(self, webhook: Webhook, operation_id: str, body: bytes) -> WebhookAnswer:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            OPERATION: operation_id,
            TIMESTAMP: str(int(self._clock.now())),
        }
        if webhook.secret is not None:
            headers[SIGNATURE] = signature(webhook.secret, headers[TIMESTAMP], body)
        try:
            answer = await self._egress.exchange(
                "POST", webhook.url, headers=headers, body=body, deadline_s=self._call_s, connect_s=CONNECT_S
            )
        except NotSent as failure:
            if failure.refused:
                return Unusable(failure.reason, "webhook-egress-refused")
            return Silent(failure.reason, None)
        except AnswerLost as failure:
            return Silent(failure.reason, None)
        if answer.status in _TRY_AGAIN:
            reason = f"it answered {answer.status}"
            return Silent(reason, retry_after_s(answer.retry_after, self._clock.now()))
        if answer.status != 200:
            return Unusable(f"it answered {answer.status}", "webhook-refused")
        if answer.content_type != "application/json":
            return Unusable(f"its answer is {answer.content_type[:60] or 'of no type'}", "webhook-answer")
        return Said(answer.body)
