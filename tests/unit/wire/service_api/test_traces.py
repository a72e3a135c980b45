"""A decision trace as it is shown."""

from __future__ import annotations

from accredit.domain.trace import Asked, DecisionTrace, Step
from accredit.values import replace
from accredit.wire.service_api.traces import trace_document

TRACE = DecisionTrace(
    "t-1", "Dev-1", 1_800_000_000, Asked.REGISTER, "192.0.2.7", "group/line", (Step("the token", "expired"),),
    "sas-expired", "Unauthorized", "90 s ago", "check the clock", 401002,
)  # fmt: skip


def test_all_of_it() -> None:
    assert trace_document(TRACE) == {
        "trackingId": "t-1",
        "registrationId": "Dev-1",
        "tracedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "asked": "register",
        "source": "192.0.2.7",
        "enrollment": "group/line",
        "steps": [{"subject": "the token", "outcome": "expired"}],
        "rule": "sas-expired",
        "reason": "Unauthorized",
        "evidence": "90 s ago",
        "hint": "check the clock",
        "errorCode": 401002,
    }


def test_what_it_does_not_say_is_left_out() -> None:
    whole, bare = (
        trace_document(TRACE),
        trace_document(replace(TRACE, source="", enrollment=None, evidence="", hint="", steps=())),
    )
    assert whole.keys() - bare.keys() == {"source", "enrollment", "evidence", "hint"}
    assert bare["steps"] == []
