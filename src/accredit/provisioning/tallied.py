"""Under which name a register call is counted: what the device was answered, or what kept it from an answer."""

from __future__ import annotations

from accredit.domain.errors import AccreditError, Throttled, UpstreamRejected, UpstreamUnavailable
from accredit.domain.registration import Answer, Assigned, Assigning

BROKEN_OFF = "broken-off"
"""The device was gone before its answer, or the service stops."""

OUTCOMES = (
    "assigned", "assigning", "failed", "disabled", "refused", "throttled", "unavailable", "error", BROKEN_OFF,
)  # fmt: skip


def outcome(answer: Answer) -> str:
    if isinstance(answer, Assigned):
        return "assigned"
    return "assigning" if isinstance(answer, Assigning) else answer.status.value


def failure(raised: Exception) -> tuple[str, str]:
    """The name, and the rule that was broken; `error` is a defect of the service, which breaks none."""
    if not isinstance(raised, AccreditError):
        return "error", ""
    if isinstance(raised, Throttled):
        return "throttled", raised.rule
    upstream = isinstance(raised, UpstreamUnavailable | UpstreamRejected)
    return "unavailable" if upstream else "refused", raised.rule
