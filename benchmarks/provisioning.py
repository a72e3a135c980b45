"""What one full provisioning costs the server, and how fast they come."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass

import uvloop

from benchmarks.cpu import family_cpu_seconds, resident_bytes, threads_cpu_seconds
from benchmarks.fleet import Device, client_context, group_key_text, provision
from benchmarks.service import Measured


@dataclass(frozen=True, slots=True)
class Figures:
    """CPU in microseconds of the server, its workers included, per provisioning; latencies in milliseconds as the client sees them."""

    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    resident_mb: float
    threads_us: dict[str, float]


def full_provisioning(
    service: Measured, count: int, at_once: int, per_second: float | None = None
) -> Figures:
    """TLS 1.2, MQTT, a derived key's token, a CSR verified, a P-256 certificate signed, everything durable.

    As fast as they go, or so many `per_second`.
    """
    group_key = secrets.token_bytes(32)
    name = f"bench-{secrets.token_hex(4)}"
    keys = {"primaryKey": group_key_text(group_key), "secondaryKey": group_key_text(secrets.token_bytes(32))}
    service.api().call(
        "PUT",
        f"/enrollmentGroups/{name}",
        {
            "enrollmentGroupId": name,
            "attestation": {"type": "symmetricKey", "symmetricKey": keys},
            "clientCertificateIssuancePolicy": {"certificateAuthorityName": "builtin"},
        },
    )
    devices = [Device.make(f"{name}-{number}", group_key) for number in range(count)]
    warm = [Device.make(f"{name}-warm-{number}", group_key) for number in range(100)]
    trust = client_context(service.trust_root)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(provision(warm, service.host, service.mqtt_port, service.id_scope, trust, at_once))
        before, threads = family_cpu_seconds(service.pid), threads_cpu_seconds(service.pid)
        began = time.perf_counter()
        tally = runner.run(
            provision(devices, service.host, service.mqtt_port, service.id_scope, trust, at_once, per_second)
        )
        took = time.perf_counter() - began
    spent = family_cpu_seconds(service.pid) - before
    # Whoever is measured next must not be tried by this group's key first.
    service.api().call("DELETE", f"/enrollmentGroups/{name}")
    if tally.failures:
        raise RuntimeError(f"{len(tally.failures)} registrations failed, the first: {tally.failures[0]}")
    after = threads_cpu_seconds(service.pid)
    latencies = sorted(tally.latencies)
    return Figures(
        cpu_us=spent / count * 1e6,
        per_second=count / took,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1000,
        resident_mb=resident_bytes(service.pid) / 1e6,
        threads_us={name: (after[name] - threads.get(name, 0.0)) / count * 1e6 for name in after},
    )
