"""What a webhook may answer, and who asks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from accredit.domain.allocation import Webhook


@dataclass(frozen=True, slots=True)
class Said:
    """Its answer's bytes, unread."""

    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Silent:
    """No answer now; asking again may help, after `retry_after_s` where it said when."""

    reason: str
    retry_after_s: int | None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Nothing that can be used, and asking again would not help; `rule` says why."""

    reason: str
    rule: str


WebhookAnswer = Said | Silent | Unusable


class Webhooks(Protocol):
    """Asks the webhooks of enrollments. Raises nothing: what came of it is in the answer."""

    async def ask(self, webhook: Webhook, operation_id: str, body: bytes) -> WebhookAnswer: ...
