"""Decision traces: why one call of a device was refused, step by step, for the operator alone.

A trace holds no secret: of keys it has names, of certificates subjects and thumbprints. Its texts are bounded, since much of
what they quote was chosen by a stranger.
"""

from __future__ import annotations

from enum import StrEnum

from accredit.values import dataclass

MAX_TEXT_CHARS = 600
MAX_STEPS = 16


class Asked(StrEnum):
    """Which call was refused."""

    CHALLENGE = "challenge"
    REGISTER = "register"
    STATUS = "operation status"
    LOOKUP = "state lookup"
    ORDER = "certificate order"
    RENEWAL = "renewal"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at, and what came of it."""

    subject: str
    outcome: str


@dataclass(frozen=True, slots=True)
class DecisionTrace:
    """`rule` is the one that failed, `told` the number that the device heard; `enrollment` is what was proven, if anything."""

    tracking_id: str
    registration_id: str
    traced_at: int
    asked: Asked
    source: str
    enrollment: str | None
    steps: tuple[Step, ...]
    rule: str
    reason: str
    evidence: str
    hint: str
    told: int

    @property
    def registration_key(self) -> str:
        return self.registration_id.lower()


def shown(text: str) -> str:
    """A text as a trace may hold it."""
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 3] + "..."
