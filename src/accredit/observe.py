"""One log vocabulary: JSON lines on stderr, formatted by a writer thread off the hot path.

Secrets can't reach a line: `Secret` renders redacted, and no call site passes key material as text.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any

import structlog

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

LEVELS = ("debug", "info", "warning", "error")

_QUEUE_LINES = 20_000
_BATCH_LINES = 2_000
_GATHER_S = 0.02
"""How long a line may wait for others."""


class LineWriter:
    """Writes log lines from its own thread in batches; a full queue drops lines and says how many."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._queue: queue.SimpleQueue[Callable[[], str] | None] = queue.SimpleQueue()
        self._dropped = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: Callable[[], str]) -> None:
        if self._queue.qsize() >= _QUEUE_LINES:
            self._dropped += 1
            return
        self._queue.put(line)

    def close(self) -> None:
        """Return when every line queued so far is written."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            entry = self._queue.get()
            # To wake this thread costs who writes a line more than the line: let some gather first.
            if entry is not None:
                self._closing.wait(_GATHER_S)
            batch: list[str] = []
            while entry is not None:
                batch.append(_rendered(entry))
                if len(batch) >= _BATCH_LINES or self._queue.empty():
                    break
                entry = self._queue.get()
            going_on = entry is not None
            self._write(batch)

    def _write(self, batch: list[str]) -> None:
        if self._dropped:
            batch.append(f'{{"level":"warning","event":"log-lines-dropped","count":{self._dropped}}}\n')
            self._dropped = 0
        # A closed stderr must not stop the service.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("".join(batch))
            self._stream.flush()


def _rendered(line: Callable[[], str]) -> str:
    """A value that has no JSON costs its own line, and not the thread that writes all others."""
    try:
        return line()
    except Exception as error:  # noqa: BLE001 - whatever a field's value raises when it is rendered
        return f'{{"level":"error","event":"log-line-lost","reason":"{type(error).__name__}"}}\n'


class _QueuedLogger:
    """What structlog hands finished event dicts to."""

    def __init__(self, writer: LineWriter, render: Callable[[MutableMapping[str, Any]], str]) -> None:
        self._writer = writer
        self._render = render

    def msg(self, **event: Any) -> None:
        self._writer.write(lambda: self._render(event))

    debug = info = warning = error = critical = msg


def configure(level: str, stream: IO[str] | None = None) -> LineWriter:
    """Set the process's logging up once; returns the writer, to be closed last."""
    import msgspec  # noqa: PLC0415 - only a running service renders lines

    encoder = msgspec.json.Encoder(enc_hook=str)
    traceback = structlog.processors.ExceptionRenderer()

    def render(event: MutableMapping[str, Any]) -> str:
        event["timestamp"] = datetime.fromtimestamp(event["timestamp"], UTC).isoformat()
        return encoder.encode(event).decode() + "\n"

    writer = LineWriter(stream if stream is not None else sys.stderr)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _stamp, traceback, _as_keywords],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: _QueuedLogger(writer, render),
        cache_logger_on_first_use=True,
    )
    return writer


def _stamp(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The instant, to be rendered by the writer thread."""
    event["timestamp"] = time.time()
    return event


def _as_keywords(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> tuple[tuple[()], MutableMapping[str, Any]]:
    return (), event
