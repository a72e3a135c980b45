"""Log lines: JSON, one a line, off the path, and never with a secret in it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from accredit.domain.secret import Secret
from accredit.observe import LineWriter, configure


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


Log = structlog.typing.FilteringBoundLogger


def logged(level: str, *calls: Callable[[Log], Any]) -> list[dict[str, Any]]:
    """The lines of these calls. The logger is a fresh one: the product's own is set up once in a process."""
    stream = io.StringIO()
    writer = configure(level, stream)
    log = structlog.get_logger()
    for call in calls:
        call(log)
    writer.close()
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def test_a_line_has_event_level_instant_and_fields() -> None:
    (line,) = logged("info", lambda log: log.info("started", port=443, host="localhost"))
    assert line.pop("timestamp").startswith("20")
    assert line == {"event": "started", "level": "info", "port": 443, "host": "localhost"}


def test_lower_levels_are_left_out() -> None:
    lines = logged(
        "warning",
        lambda log: log.info("quiet"),
        lambda log: log.warning("loud"),
        lambda log: log.error("louder"),
    )
    assert [line["event"] for line in lines] == ["loud", "louder"]


def test_a_secret_is_redacted() -> None:
    (line,) = logged("info", lambda log: log.info("x", key=Secret(b"hunter2"), keys=[Secret(b"hunter2")]))
    assert "hunter2" not in json.dumps(line)


def test_a_trace_is_part_of_the_line() -> None:
    def fails(log: Log) -> None:
        try:
            int("the reason")
        except ValueError:
            log.exception("failed")

    (line,) = logged("info", fails)
    assert "the reason" in json.dumps(line)


def test_hostile_text_stays_within_its_line() -> None:
    (line,) = logged("info", lambda log: log.info("x", reason='"\n{"event": "forged"}\u2028'))
    assert line["event"] == "x"


def test_what_does_not_fit_the_queue_is_counted() -> None:
    release = threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            release.wait(10)
            return super().write(text)

    stream = Slow()
    writer = LineWriter(stream)
    for _ in range(21_000):
        writer.write(lambda: "{}\n")
    release.set()
    writer.close()
    assert "log-lines-dropped" in stream.getvalue()


def test_a_closed_stream_does_not_stop_anybody() -> None:
    stream = io.StringIO()
    writer = configure("info", stream)
    stream.close()
    structlog.get_logger().info("nobody reads it")
    writer.close()
