"""Every wire as the stock Node SDK uses it: the onboarding time that it sees, and the server's CPU for it.

One Node process for all devices, each with a connection of its own; the SDK is where `scripts/test-needs` puts it. Without
Node, or without the right to open port 443, there is nothing to measure, and the table says so.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.cpu import cpu_seconds
from benchmarks.fleet import Device, group_key_text
from benchmarks.sdk import enroll_group
from benchmarks.service import HOST, Measured

CLIENTS = Path(__file__).parent.parent / "tests" / "node"

WIRES = {
    "mqtt": "MQTT",
    "mqtt-ws": "MQTT over WebSocket",
    "amqp": "AMQP",
    "amqp-ws": "AMQP over WebSocket",
    "http": "HTTPS",
}
"""The SDK's names of its transports, and ours."""

AMQP = find_spec("proton") is not None
"""Whether the extra is installed, without which the service does not speak AMQP."""

PORTS = ("--https-port", "443", *(("--amqp-port", "5671") if AMQP else ()))
"""Flags of the service: the SDK has its ports built in."""

ROUNDS, WARM = 100, 10


@dataclass(frozen=True, slots=True)
class WireFigures:
    """`cpu_us` is the server's, the rest as the device sees it."""

    cpu_us: float
    p50_ms: float
    p99_ms: float


def measurable() -> bool:
    """Whether Node, the SDK, and the port that it has built in can be had."""
    if shutil.which("node") is None or not (CLIENTS / "node_modules").exists():
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, 443))
        except OSError:
            return False
    return True


def over_each_wire(service: Measured) -> dict[str, WireFigures]:
    """By our name of the wire. The service must have the ports that the SDK insists on."""
    group_key = secrets.token_bytes(32)
    name = enroll_group(service, "wires", group_key)
    process = subprocess.Popen(
        ["node", "--no-deprecation", str(CLIENTS / "clients.js"), "device"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        env=os.environ | {"NODE_EXTRA_CA_CERTS": service.trust_root},
    )  # fmt: skip
    try:
        return {
            ours: _one_wire(service, process, sdk, f"{name}-{sdk}", group_key)
            for sdk, ours in WIRES.items()
            if AMQP or not sdk.startswith("amqp")
        }
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=10)


def _one_wire(
    service: Measured, process: subprocess.Popen[str], transport: str, name: str, group_key: bytes
) -> WireFigures:
    devices = [Device.make(f"{name}-{number}", group_key) for number in range(WARM + ROUNDS)]
    for device in devices[:WARM]:
        _register(service, process, transport, device)
    before = cpu_seconds(service.pid)
    times = sorted(_register(service, process, transport, device) for device in devices[WARM:])
    spent = cpu_seconds(service.pid) - before
    return WireFigures(
        spent / ROUNDS * 1e6, times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000
    )


def _register(service: Measured, process: subprocess.Popen[str], transport: str, device: Device) -> float:
    """Seconds from the call to its result, the two pipes to Node among them."""
    call: dict[str, Any] = {
        "transport": transport,
        "host": service.host,
        "idScope": service.id_scope,
        "registrationId": device.registration_id,
        "key": group_key_text(device.key),
        "payload": {"clientCertificateCsr": device.csr},
    }
    assert process.stdin is not None
    assert process.stdout is not None
    began = time.perf_counter()
    process.stdin.write(json.dumps({"id": 1, "call": "register", "with": call}) + "\n")
    answer = json.loads(process.stdout.readline())
    took = time.perf_counter() - began
    if "error" in answer or "issuedClientCertificate" not in answer["result"]["payload"]:
        raise RuntimeError(f"{transport}: {answer}")
    return took
