"""OpenTelemetry traces: a span for each register call, with its steps below it, where the environment asks for them.

They are sent by OTLP over HTTP, as the standard `OTEL_` variables say; the library reads those itself. It is an extra,
and loaded only when a service is to export: any other has nothing to do with it. A call is timed by the ceremony's own
marks and becomes spans when it is over, so nothing is traced while it goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from accredit import __version__
from accredit.observe import log
from accredit.tallies import TimedCall

FLUSH_MS = 5_000
"""How long a stop waits for what is still to be sent."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Traced = Callable[[TimedCall], None]


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether an endpoint or the exporter is named, and nothing says not to (OpenTelemetry, environment variables)."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    return exporter == "otlp" or (not exporter and any(environment.get(name) for name in _ENDPOINTS))


async def begun(environment: Mapping[str, str], parts: AsyncExitStack) -> Traced | None:
    """What hears of each call; None where nobody wants traces. What is begun is ended by `parts`."""
    if not is_wanted(environment):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the same
    except ImportError as error:
        log.warning(
            "traces-not-exported",
            reason=f"the extra accredit[otel] is not installed ({error})",
            remedy="`pip install 'accredit[otel]'`, or `make install EXTRAS=otel`",
        )
        return None
    named = {"service.version": __version__}
    if "OTEL_SERVICE_NAME" not in environment:
        named["service.name"] = "accredit"
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # It waits for the network, in a thread, and not for longer than a stop may.
    parts.push_async_callback(asyncio.to_thread, provider.force_flush, FLUSH_MS)
    return Spans(provider.get_tracer("accredit", __version__)).add


class Spans:
    """Turns calls that are over into spans."""

    def __init__(self, tracer: Any, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._tracer = tracer
        self._now_ns = now_ns

    def add(self, call: TimedCall) -> None:
        """To be called when the call ends: its clock is set against the present instant."""
        ended_ns = self._now_ns()

        def instant(at: float) -> int:
            return ended_ns - round((call.ended - at) * 1e9)

        span = self._tracer.start_span("registration", start_time=instant(call.began))
        if not span.is_recording():  # the sampler has left it out
            return
        span.set_attributes(_attributes(call))
        if call.outcome == "error":
            span.set_status(_error())
        self._add_steps(span, call, instant)
        span.end(ended_ns)

    def _add_steps(self, span: Any, call: TimedCall, instant: Callable[[float], int]) -> None:
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - an extra

        parent = set_span_in_context(span)
        before = call.began
        for step, at in call.marks:
            child = self._tracer.start_span(step, context=parent, start_time=instant(before))
            child.end(instant(at))
            before = at


def _attributes(call: TimedCall) -> dict[str, str]:
    told = {
        "accredit.tracking_id": call.tracking_id,
        "accredit.registration_id": call.registration_id,
        "accredit.wire": call.wire,
        "accredit.outcome": call.outcome,
        "accredit.rule": call.rule,
        "client.address": call.source,
    }
    return {name: value for name, value in told.items() if value}


def _error() -> Any:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra

    return Status(StatusCode.ERROR)
