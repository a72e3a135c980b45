"""Log lines: JSON, one a line, off the path, and never with a secret in it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from accredit import values
from accredit.domain.secret import Secret
from accredit.observe import LineWriter, Log, configure, log


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    before = (log.lowest, log.take)
    yield
    log.lead(*before)


def logged(level: str, *calls: Callable[[Log], Any]) -> list[dict[str, Any]]:
    """The lines of these calls."""
    stream = io.StringIO()
    writer = configure(level, stream)
    for call in calls:
        call(log)
    writer.close()
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def test_a_line_has_event_level_instant_and_fields() -> None:
    (line,) = logged("info", lambda log: log.info("started", port=443, host="localhost"))
    assert line.pop("timestamp").startswith("20")
    assert line == {"event": "started", "level": "info", "port": 443, "host": "localhost"}


def test_an_exception_that_is_handed_over_is_part_of_the_line() -> None:
    error = ValueError("the reason")
    lines = logged(
        "info",
        lambda log: log.error("failed", exc_info=error),
        lambda log: log.error("failed", exc_info=(ValueError, error, None)),
        lambda log: log.error("failed", exc_info=None),
    )
    assert [line.get("exception") for line in lines] == ["ValueError: the reason"] * 2 + [None]
    assert all("exc_info" not in line for line in lines)


def test_before_there_is_a_log_only_what_is_wrong_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("quiet")
    log.warning("loud", port=443)
    told = capsys.readouterr()
    line = json.loads(told.err)
    assert (line["event"], line["level"], line["port"]) == ("loud", "warning", 443)
    assert told.out == ""


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
    reached, release = threading.Event(), threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            reached.set()
            release.wait()
            return super().write(text)

    stream = Slow()
    writer = LineWriter(stream)
    writer.write(lambda: "{}\n")
    reached.wait()
    for _ in range(21_000):
        writer.write(lambda: "{}\n")
    release.set()
    writer.close()
    assert "log-lines-dropped" in stream.getvalue()


def test_a_closed_stream_does_not_stop_anybody() -> None:
    stream = io.StringIO()
    writer = configure("info", stream)
    stream.close()
    log.info("nobody reads it")
    writer.close()


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text for this")


@pytest.mark.parametrize("value", ["\ud800", 1 << 80, Unprintable(), {Secret(b"hunter2"): 1}])
def test_a_value_that_can_t_be_written_costs_its_own_line_alone(value: object) -> None:
    lines = logged("info", lambda log: log.info("odd", field=value), lambda log: log.info("after"))
    assert lines[-1]["event"] == "after"
    assert len(lines) == 2
    assert "hunter2" not in json.dumps(lines)


@dataclass
class Holder:
    key: Secret


@values.dataclass(frozen=True, slots=True)
class Value:
    key: Secret


@pytest.mark.parametrize("holder", [Holder, Value])
def test_a_secret_inside_of_something_is_redacted(holder: Callable[[Secret], object]) -> None:
    kept = holder(Secret(b"hunter2"))
    (line,) = logged("info", lambda log: log.info("x", holder=kept, pairs={"a": (kept,)}, text=f"{kept}"))
    assert "hunter2" not in json.dumps(line)
    assert "redacted" in json.dumps(line)


def test_a_secret_does_not_show_in_a_trace() -> None:
    def fails(log: Log) -> None:
        kept = Secret(b"hunter2")
        try:
            int(f"can't use {kept}")
        except ValueError:
            log.exception("failed", key=kept)

    (line,) = logged("info", fails)
    assert "can't use Secret(redacted)" in line["exception"]
    assert "hunter2" not in json.dumps(line)


def test_how_many_lines_were_dropped_is_said() -> None:
    release = threading.Event()
    written: list[str] = []

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            release.wait()
            written.append(text)
            return len(text)

    writer = LineWriter(Slow())
    for number in range(25_000):
        writer.write(lambda number=number: f'{{"number":{number}}}\n')  # type: ignore[misc]
    release.set()
    writer.close()
    lines = [json.loads(line) for line in "".join(written).splitlines()]
    numbers = [line["number"] for line in lines if "number" in line]
    assert numbers == sorted(numbers)
    assert sum(line.get("count", 0) for line in lines) == 25_000 - len(numbers) > 0


def test_lines_keep_their_order_and_none_is_lost() -> None:
    calls = [lambda log, number=number: log.info("x", number=number) for number in range(3_000)]
    assert [line["number"] for line in logged("info", *calls)] == list(range(3_000))
