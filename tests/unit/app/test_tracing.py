"""Traces go to a collector where the environment asks for them; where it does not, OpenTelemetry is not even loaded."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from accredit.app.tracing import Spans, begun, is_wanted
from accredit.tallies import TimedCall
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.otlp_receiver import OtlpReceiver, attributes
from support.raw_device import DpsDevice
from support.running_service import RunningService

NOW_NS = 1_800_000_000_000_000_000


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "us"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
    ],
)
def test_the_standard_variables_say_whether(environment, wanted):
    assert is_wanted(environment) is wanted


async def test_nobody_hears_of_a_call_where_nobody_asked():
    async with AsyncExitStack() as parts:
        assert await begun({}, parts) is None


def test_a_service_without_traces_does_not_load_the_library():
    loaded = "import sys, accredit.app.service as _; print('opentelemetry' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def call(**facts):
    usual = {
        "wire": "mqtt", "outcome": "assigned", "rule": "", "tracking_id": "t1", "registration_id": "lamp",
        "source": "192.0.2.7", "marks": [("attest", 5.001), ("complete", 5.004)], "began": 5.0, "ended": 5.005,
    }  # fmt: skip
    return TimedCall(**usual | facts)


def spans_of(one, **provider):
    kept = InMemorySpanExporter()
    made = TracerProvider(**provider)
    made.add_span_processor(SimpleSpanProcessor(kept))
    Spans(made.get_tracer("test"), lambda: NOW_NS).add(one)
    return kept.get_finished_spans()


def test_a_call_is_a_span_with_its_steps():
    attest, complete, whole = spans_of(call())
    assert (whole.name, attest.name, complete.name) == ("registration", "attest", "complete")
    assert attest.parent.span_id == complete.parent.span_id == whole.context.span_id
    assert (whole.start_time, whole.end_time) == (NOW_NS - 5_000_000, NOW_NS)
    assert (attest.start_time, attest.end_time) == (NOW_NS - 5_000_000, NOW_NS - 4_000_000)
    assert (complete.start_time, complete.end_time) == (NOW_NS - 4_000_000, NOW_NS - 1_000_000)
    assert dict(whole.attributes) == {
        "accredit.tracking_id": "t1",
        "accredit.registration_id": "lamp",
        "accredit.wire": "mqtt",
        "accredit.outcome": "assigned",
        "client.address": "192.0.2.7",
    }
    assert whole.status.status_code is StatusCode.UNSET


def test_a_refusal_names_its_rule_and_is_no_error_of_ours():
    (*_, whole) = spans_of(call(outcome="refused", rule="sas-expired", marks=[]))
    assert whole.attributes["accredit.rule"] == "sas-expired"
    assert whole.status.status_code is StatusCode.UNSET


def test_a_defect_is_an_error():
    (*_, whole) = spans_of(call(outcome="error"))
    assert whole.status.status_code is StatusCode.ERROR


def test_what_the_sampler_leaves_out_is_not_made():
    assert spans_of(call(), sampler=ALWAYS_OFF) == ()


def test_a_collector_gets_the_traces(tmp_path: Path) -> None:
    with OtlpReceiver() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        with RunningService(tmp_path, environment=environment) as service:
            master = symmetric_group(service, "line", **issuing())
            key = DeviceKey("lamp", tmp_path)
            with DpsDevice(service, "lamp", key=derived_key(master, "lamp")) as device:
                device.registers(clientCertificateCsr=key.csr())
            logged = service.logs("registration", registrationId="lamp")
        # What was not sent yet is sent by the stop.
        (whole,) = (span for span in collector.spans if span.name == "registration")
        told = attributes(whole)
        assert told["accredit.tracking_id"] == logged["trackingId"]
        assert (told["accredit.outcome"], told["accredit.wire"]) == ("assigned", "mqtt")
        steps = [span for span in collector.spans if span.parent_span_id == whole.span_id]
        assert [span.name for span in sorted(steps, key=lambda span: span.end_time_unix_nano)] == [
            "attest", "admit", "allocate", "settle", "issue", "bind", "complete", "answer",
        ]  # fmt: skip
        assert whole.start_time_unix_nano < whole.end_time_unix_nano
        assert collector.resources[0]["service.name"] == "accredit"


def test_a_collector_that_is_not_there_stands_in_no_ones_way(tmp_path: Path) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    with RunningService(tmp_path, environment=environment) as service:
        master = symmetric_group(service, "line")
        with DpsDevice(service, "lamp", key=derived_key(master, "lamp")) as device:
            assert device.registers().document["status"] == "assigned"
        assert service.stop() == 0


def test_without_the_extra_it_is_said_and_the_service_runs(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden by the test')\n")
    environment = {"OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": str(hidden.parent)}
    with RunningService(tmp_path / "service", environment=environment) as service:
        assert "accredit[otel]" in service.logs("traces-not-exported")["reason"]
