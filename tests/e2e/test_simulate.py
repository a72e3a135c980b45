"""A simulated fleet on a real service: everybody gets what it came for, and what goes wrong is told."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

from accredit.simulation.fleet import simulate
from accredit.simulation.mqtt_peer import Service
from accredit.simulation.scenario import Arrival, Scenario
from support.running_service import RunningService

DEVICES = 20


def test_a_fleet_with_every_fault_a_storm_and_renewals_ends_well(service: RunningService):
    options = [
        "--devices",
        str(DEVICES),
        "--duration",
        "6",
        "--storms",
        "1",
        "--faults",
        "0.5",
        "--arrival",
        "burst",
    ]
    options += ["--renew-every", "2", "--telemetry-every", "1", "--json"]
    result = service.cli("simulate", *options)
    counts = {row["what"]: row["count"] for row in map(json.loads, result.stdout.splitlines())}
    assert counts["provisioned"] == DEVICES
    assert counts["storms"] == 1
    assert counts["renewed"] > 0
    assert counts["certificates compared"] >= DEVICES + counts["renewed"]
    for fault in ("half-open", "vanishes", "wrong-key", "late-clock", "broken-csr"):
        assert counts[f"did wrong: {fault}"] == DEVICES * 0.5 / 5
    assert counts["refused, as it should be"] == DEVICES * 0.5 * 3 / 5
    groups = service.cli("enroll", "list", "--group", "--json").stdout.splitlines()
    ours = [
        group for group in map(json.loads, groups) if group["enrollmentGroupId"].startswith("simulated-1-")
    ]
    assert [group["provisioningStatus"] for group in ours] == ["disabled"]


def test_devices_that_the_service_does_not_know_are_complaints(service: RunningService, tmp_path: Path):
    where = Service(service.host, service.mqtt_port, service.id_scope, service.trust_root)
    scenario = Scenario(2, 1, Arrival.BURST, telemetry_every_s=0)
    run = simulate(scenario, where, "stranger", secrets.token_bytes(32), tmp_path, grace_s=0)
    tally, devices = asyncio.run(run)
    assert tally.happened["provisioned"] == 0
    assert tally.complained
    assert "answered 401" in tally.complaints[0]
    assert [device.serials for device in devices] == [[], []]
