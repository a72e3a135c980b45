"""What is logged meanwhile, as a list instead of lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accredit.observe import log


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Each line of any level: its fields, `event` and `log_level`."""
    lines: list[dict[str, Any]] = []
    before = (log.lowest, log.take)
    log.lead(
        "debug", lambda level, event, fields: lines.append({**fields, "event": event, "log_level": level})
    )
    try:
        yield lines
    finally:
        log.lead(*before)
