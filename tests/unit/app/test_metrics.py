"""A service counts what happens in it, shows it where it was asked to, and loads nothing for it where it was not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from accredit.app.metrics import METRICS
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService, loopback_address

Numbers = dict[tuple[str, ...], float]


def numbers(service: RunningService, port: int) -> Numbers:
    """Every sample by its name and the values of its labels, in the order of the labels' names."""
    text = httpx.get(f"http://{service.host}:{port}/metrics", trust_env=False).text
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_it_counts_what_happens(tmp_path: Path) -> None:
    host, port = loopback_address(), 19464
    arguments = ["--metrics-port", str(port), "--metrics-bind", host]
    with RunningService(tmp_path, host=host, arguments=arguments) as service:
        master = symmetric_group(service, "line", **issuing())
        key = DeviceKey("lamp", tmp_path)
        with DpsDevice(service, "lamp", key=derived_key(master, "lamp")) as device:
            answer = device.registers(clientCertificateCsr=key.csr())
        with DpsDevice(service, "stranger", key=derived_key(master, "lamp")) as device:
            device.registers(clientCertificateCsr=key.csr())
        certificate = key.write(answer.state["issuedClientCertificate"])
        with HubDevice(service, "lamp", certificate=(certificate, key.file)) as device:
            device.sends(b"on")
            seen = numbers(service, port)
    assert seen["accredit_registrations_total", "assigned", "mqtt"] == 1
    assert seen["accredit_registrations_total", "refused", "mqtt"] == 1
    assert seen["accredit_registration_duration_seconds_count", "mqtt"] == 2
    for step in ("attest", "admit", "allocate", "settle", "issue", "bind", "complete", "answer"):
        assert seen["accredit_registration_step_duration_seconds_count", step] == 1, step
    assert sum(value for name, value in seen.items() if name[0] == "accredit_refusals_total") == 1
    assert seen["accredit_ca_orders_total", "builtin", "delivered"] == 1
    assert seen["accredit_connections_accepted_total", "mqtt"] == 3
    assert seen["accredit_tls_handshakes_total", "mqtt"] == 3
    assert seen["accredit_hub_sessions",] == 1
    assert seen["accredit_connections", "mqtt"] >= 1
    assert seen["accredit_hub_messages_total",] == 1
    assert seen["accredit_store_commit_units_sum",] >= seen["accredit_store_commit_units_count",] > 0
    assert seen["accredit_store_commit_duration_seconds_count",] == seen["accredit_store_commit_units_count",]
    assert seen["accredit_log_leaves",] + seen["accredit_log_unplaced_leaves",] == 1
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name[0]) for name in seen}
    assert {name for name in METRICS if name not in families} == {"accredit_operations"}, (
        "what the table has is shown"
    )


def test_who_does_not_watch_loads_nothing_for_it() -> None:
    """Start-up is to stay under a second."""
    loaded = "import sys, accredit.app.service as _; print('prometheus_client' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_names_are_as_prometheus_wants_them() -> None:
    for name, row in METRICS.items():
        assert re.fullmatch(r"accredit_[a-z_]+", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert set(row.labels) <= {
            "wire",
            "outcome",
            "step",
            "rule",
            "authority",
            "listener",
            "reason",
            "version",
        }
