"""JSON documents of the service API: bounded reading, and writing.

What is in a document is the business of its own file. Only `Malformed` leaves the reading side, whatever was sent.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from accredit.domain.errors import Malformed

MAX_DOCUMENT_BYTES = 96 * 1024
"""DPS's message limit (Azure, *DPS service limits*)."""

MAX_DEPTH = 20
"""How deep a free-form member may nest; IoT Hub itself stops at 10 for a twin."""

_MAX_REASON_CHARS = 300

T = TypeVar("T")


def read(body: bytes, kind: type[T]) -> T:
    """Decode one document."""
    if len(body) > MAX_DOCUMENT_BYTES:
        raise Malformed(f"The document has more than {MAX_DOCUMENT_BYTES} bytes.", rule="body-too-large")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as refused:
        reason = str(refused)[:_MAX_REASON_CHARS]
        raise Malformed(f"The document does not fit: {reason}.", rule="document-invalid") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise Malformed("The body is not a JSON document.", rule="body-not-json") from None


def write(document: Any) -> bytes:
    """Encode one document, or an array of them."""
    return msgspec.json.encode(document)


def free_form(value: dict[str, Any] | None, member: str) -> dict[str, Any] | None:
    """A member that is stored and echoed as sent, bounded in depth. What `read` has taken can be written again."""
    if value is None:
        return None
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            break
    else:
        raise Malformed(f"{member} nests more than {MAX_DEPTH} levels deep.", rule="document-too-deep")
    return value


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
