"""One call of a webhook: signed, bounded in time and size, to where it may go, and nowhere else.

Nothing is retried here and nothing is understood: an answer is its bytes, or why there are none. Each place that is
called has connections of its own, and whoever finds them taken waits for one: a webhook that hangs keeps no other
enrollment waiting, and a thousand devices at once are no fault of a webhook that takes its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from accredit.domain.allocation import Webhook
from accredit.egress import MAX_CONNECTIONS, AnswerLost, Egress, NotSent
from accredit.interfaces import Clock, Said, Silent, Unusable, WebhookAnswer
from accredit.policy.destinations import BadDestination, destination
from accredit.policy.retry import retry_after_s
from accredit.wire.webhooks import OPERATION, SIGNATURE, TIMESTAMP, signature

CALL_S = 10.0
CONNECT_S = 3.0

MAX_PLACES = 256
"""Places beyond these share their connections."""

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Place:
    """The connections to one host and port."""

    def __init__(self, egress: Egress) -> None:
        self.egress = egress
        self.free = asyncio.Semaphore(MAX_CONNECTIONS)


class Webhooks:
    """`interfaces.Webhooks` over outbound HTTP. `connect` makes the connections of one place."""

    def __init__(self, connect: Callable[[], Egress], clock: Clock, call_s: float = CALL_S) -> None:
        self._connect = connect
        self._clock = clock
        self._call_s = call_s
        self._places: dict[str, _Place] = {}

    async def close(self) -> None:
        for place in self._places.values():
            await place.egress.close()

    async def ask(self, webhook: Webhook, operation_id: str, body: bytes) -> WebhookAnswer:
        try:
            place = self._place(webhook.url)
        except BadDestination as refused:
            return Unusable(str(refused), "webhook-egress-refused")
        async with place.free:
            return await self._asked(place.egress, webhook, operation_id, body)

    def _place(self, url: str) -> _Place:
        target = destination(url)
        name = f"{target.host}:{target.port}"
        if name not in self._places and len(self._places) >= MAX_PLACES:
            name = ""
        if name not in self._places:
            self._places[name] = _Place(self._connect())
        return self._places[name]

    async def _asked(self, egress: Egress, webhook: Webhook, operation_id: str, body: bytes) -> WebhookAnswer:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            OPERATION: operation_id,
            TIMESTAMP: str(int(self._clock.now())),
        }
        if webhook.secret is not None:
            headers[SIGNATURE] = signature(webhook.secret, headers[TIMESTAMP], body)
        try:
            answer = await egress.exchange(
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
