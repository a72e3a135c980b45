"""Decision traces as our listings show them (an extension: `/decisionTraces`)."""

from __future__ import annotations

from typing import Any

from accredit.domain.trace import DecisionTrace
from accredit.wire.instants import iso


def trace_document(trace: DecisionTrace) -> dict[str, Any]:
    """One trace; members without a value are left out."""
    members = {
        "trackingId": trace.tracking_id,
        "registrationId": trace.registration_id,
        "tracedDateTimeUtc": iso(trace.traced_at),
        "asked": trace.asked.value,
        "source": trace.source or None,
        "enrollment": trace.enrollment,
        "steps": [{"subject": step.subject, "outcome": step.outcome} for step in trace.steps],
        "rule": trace.rule,
        "reason": trace.reason,
        "evidence": trace.evidence or None,
        "hint": trace.hint or None,
        "errorCode": trace.told,
    }
    return {member: value for member, value in members.items() if value is not None}
