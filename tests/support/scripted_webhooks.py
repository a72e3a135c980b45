"""Webhooks that say what a test wants, in turn, and remember what they were asked."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from accredit.domain.allocation import Webhook
from accredit.interfaces import Said, Silent, WebhookAnswer


@dataclass(frozen=True)
class Asked:
    webhook: Webhook
    operation_id: str
    body: dict[str, Any]


Step = WebhookAnswer | Callable[[], Awaitable[WebhookAnswer]]


@dataclass
class ScriptedWebhooks:
    """What is not in the script is said by `always`, or is silence."""

    script: list[Step] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    always: Callable[[Asked], Awaitable[WebhookAnswer]] | None = None

    def will(self, *steps: Step) -> None:
        self.script += steps

    async def ask(self, webhook: Webhook, operation_id: str, body: bytes) -> WebhookAnswer:
        self.asked.append(Asked(webhook, operation_id, json.loads(body)))
        if not self.script and self.always is not None:
            return await self.always(self.asked[-1])
        if not self.script:
            return Silent("nothing is scripted", None)
        step = self.script.pop(0)
        return await step() if callable(step) else step


def says(**members: Any) -> Said:
    return Said(json.dumps(members).encode())
