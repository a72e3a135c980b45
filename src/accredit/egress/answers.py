"""How a call ends: by an answer, or by what is known of why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class NotSent(Exception):
    """Nothing of the request left this process; `refused` when our own rules forbid it, so that a retry is vain."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused


class AnswerLost(Exception):
    """The request was sent, at least in part, and no usable answer came: the peer may have acted on it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """A complete answer. `retry_after` is the header as sent; `headers` are all of them, by their names in lower case."""

    status: int
    content_type: str
    retry_after: str | None
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
