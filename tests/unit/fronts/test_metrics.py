"""`/metrics` says what was counted, in formats that Prometheus' own parser reads."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from accredit.fronts.https import application
from accredit.fronts.metrics import Kind, Metric, routes
from accredit.tallies import Histogram
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock

CALLS = Metric("calls", Kind.COUNTER, ("wire", "outcome"), "Calls.")
OPEN = Metric("open", Kind.GAUGE, (), "Open now.")
TOOK = Metric("took_seconds", Kind.HISTOGRAM, ("step",), "How long.")


def a_histogram():
    made = Histogram((0.5, 1))
    for value in (0.2, 0.5, 0.7, 9.0):
        made.observe(value)
    return made


async def readings():
    return [
        (CALLS, [(("mqtt", 'as"signed\n'), 3), (("amqp", "refused"), 1)]),
        (OPEN, [((), 7)]),
        (TOOK, [(("attest",), a_histogram())]),
    ]


async def asked(path="/metrics", **headers):
    served = application(routes(readings), HandClock(), CountedEntropy())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://x") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("accept", "kind", "parse"),
    [
        ("", "text/plain", plain),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", openmetrics),
    ],
)
async def test_what_was_counted_is_read(accept, kind, parse):
    answer = await asked(accept=accept)
    assert answer.headers["content-type"].startswith(kind)
    read = {family.name: family for family in parse(answer.text)}
    samples = {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in ("calls", "open", "took_seconds")
        for sample in read[family].samples
    }
    assert samples == {
        ("calls_total", 'as"signed\n', "mqtt"): 3,
        ("calls_total", "refused", "amqp"): 1,
        ("open",): 7,
        ("took_seconds_bucket", "0.5", "attest"): 2,
        ("took_seconds_bucket", "1.0", "attest"): 3,
        ("took_seconds_bucket", "+Inf", "attest"): 4,
        ("took_seconds_count", "attest"): 4,
        ("took_seconds_sum", "attest"): pytest.approx(10.4),
    }
    assert read["calls"].documentation == "Calls."
    assert "process_resident_memory_bytes" in read


async def test_nothing_else_is_there():
    assert (await asked("/")).status_code == 404
