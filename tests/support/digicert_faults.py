"""Every way in which the fake DigiCert ONE can misbehave, and its answers when it refuses."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from email.utils import format_datetime

from support.fake_http import Answer, document

UNSIGNED_FAULTS = frozenset({
    "refuse-400", "refuse-401", "refuse-403", "refuse-404", "refuse-409", "refuse-echo", "refuse-singular",
    "throttle-seconds", "throttle-date", "throttle-bare", "unavailable", "redirect", "drop-before", "turned-down",
})  # fmt: skip
LOST_FAULTS = frozenset({
    "drop-after", "drop-mid-answer", "hang-after", "error-500", "error-502", "error-504", "error-507", "duplicate",
    "html", "huge", "gzip", "garbage", "empty", "unreadable", "nameless", "not-http",
})  # fmt: skip
WRONG_FAULTS = frozenset({
    "another-key", "another-name", "expired", "not-yet", "too-long", "ca-true", "broken-chain", "stranger",
})  # fmt: skip
HARMLESS_FAULTS = frozenset({"wrong-order", "root-missing", "junk-around", "pending"})
FAULTS = UNSIGNED_FAULTS | LOST_FAULTS | WRONG_FAULTS | HARMLESS_FAULTS
"""By what is true afterwards: nothing was signed; signed, but the answer is lost; something else than ordered was
signed; a good certificate, told in an unusual way."""


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    return document(status, {"errors": [{"code": code, "message": message}]}, **headers)


def refusal(fault: str | None, now: float, headers: dict[str, str]) -> Answer | None:
    """The answer of a fault for which nothing is signed; None for every other."""
    match fault:
        case "refuse-400":
            return error(400, "invalid_request", "The enrollment profile\r\n does not accept this key type.")
        case "refuse-401":
            return error(401, "invalid_api_key", "The API key expired at midnight.")
        case "refuse-403":
            return error(403, "access_denied", "This user may not use the enrollment profile.")
        case "refuse-404":
            return error(404, "resource_not_found", "There is no such enrollment profile.")
        case "refuse-409":
            return error(409, "conflict", "The device is being edited.")
        case "refuse-echo":
            return error(400, "invalid_request", f"bad call, headers were {headers}" + "x" * 5000)
        case "refuse-singular":
            return document(400, {"error": {"code": "invalid_input", "message": "The CSR is too new."}})
        case "throttle-seconds":
            return error(429, "request_limit_exceeded", "Too many requests.", Retry_After="17")
        case "throttle-date":
            instant = datetime.fromtimestamp(now + 90, UTC)
            date = format_datetime(instant, usegmt=True)
            return error(429, "request_limit_exceeded", "Too many requests.", Retry_After=date)
        case "throttle-bare":
            return error(429, "request_limit_exceeded", "Too many requests.")
        case "unavailable":
            return Answer(503, b"<h1>maintenance</h1>", {"Retry-After": "86400"}, "text/html")
        case "redirect":
            return Answer(302, b"", {"Location": "/elsewhere"}, "text/html")
        case "error-500":
            return error(500, "internal_error", "Something went wrong.")
        case "html":
            return Answer(200, b"<html>Please log in</html>", content_type="text/html")
        case "turned-down":
            return document(200, {"certificate_request_id": str(uuid.uuid4()), "status": "REJECTED"})
    return None
