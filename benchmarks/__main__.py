"""`make bench`: measure everything in one run, print the table, keep the record in `benchmarks/results/`."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import floors, scaling
from benchmarks.authorities import cpu_per_certificate_us
from benchmarks.cpu import resident_bytes
from benchmarks.fleet import EXCHANGES
from benchmarks.hub import hub_connects
from benchmarks.idle import CONNECTIONS, idle
from benchmarks.machine import machine
from benchmarks.provisioning import full_provisioning
from benchmarks.report import AT_CA, TO_CA, as_markdown, as_text
from benchmarks.revocation import revoke_to_close
from benchmarks.scaled_out import scaled_out
from benchmarks.sdk import register_times
from benchmarks.service import service
from benchmarks.telemetry import telemetry
from benchmarks.where import shares
from benchmarks.wires import PORTS, measurable, over_each_wire

LIGHT = 8
"""Devices at a time when the load is light: fewer of them share a commit."""

WINDOW = 16
"""Telemetry messages of a device that may be unacknowledged."""

MESSAGES_EACH = 10
"""Telemetry messages for each provisioning of a round."""

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
SCALING_PAGE = PAGE.with_name("scaling.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=2_000, help="provisionings in each round")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds; the median is reported, with the spread"
    )
    parser.add_argument("--at-once", type=int, default=64, help="devices at a time")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md too")
    arguments = parser.parse_args()
    rounds = [_round(arguments.count, arguments.at_once) for _ in range(arguments.rounds)]
    result = (
        _summary(rounds)
        | _once()
        | {"where": shares(arguments.count, arguments.at_once)}
        | {"revocation": revoke_to_close()}
        | {"scaledOut": asdict(scaled_out(arguments.count, arguments.at_once))}
        | {"machine": machine(), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    )
    result |= {"count": arguments.count, "rounds": arguments.rounds, "atOnce": arguments.at_once}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{result['at'].replace(':', '')}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(as_text(result))
    earlier = [json.loads(each.read_text()) for each in sorted(RESULTS.glob("2*.json")) if each != path]
    _compare(earlier, result)
    if arguments.docs:
        _write(PAGE, as_markdown(result, earlier))
        _write(SCALING_PAGE, scaling.as_markdown(result))


def _write(page: Path, measured: str) -> None:
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{measured}{END}{after}")


def _round(count: int, at_once: int) -> dict[str, float]:
    """Service and floors one after the other, so that whatever else the machine does weighs on all of them alike."""
    with service() as running:
        full = full_provisioning(running, count, at_once)
        half = full_provisioning(running, count // 2, at_once, full.per_second / 2)
        light = full_provisioning(running, count // 2, LIGHT)
        connects = hub_connects(running, count, at_once)
        messages = telemetry(running, count * MESSAGES_EACH, (WINDOW, 1))
        started_s = running.started_s
    crypto = floors.verify_and_sign_us()
    return {
        "cpuUs": full.cpu_us,
        "lightCpuUs": light.cpu_us,
        "lightP50Ms": light.p50_ms,
        "perSecond": full.per_second,
        "p50Ms": full.p50_ms,
        "p99Ms": full.p99_ms,
        "halfP50Ms": half.p50_ms,
        "halfP99Ms": half.p99_ms,
        "residentMb": full.resident_mb,
        "startS": started_s,
        "connectUs": connects.cpu_us,
        "mutualUs": connects.openssl_us,
        "messageUs": messages[WINDOW].cpu_us,
        "messageLoopUs": messages[WINDOW].loop_us,
        "messageOthersUs": messages[WINDOW].others_us,
        "messagesPerSecond": messages[WINDOW].per_second,
        "loneMessageUs": messages[1].cpu_us,
        "inMemoryUs": floors.in_memory_us() + crypto,
        "bareServerUs": floors.bare_server_us(count, at_once) + crypto,
        "bareTalkUs": floors.bare_server_us(count, at_once, EXCHANGES) + crypto,
        "opensslUs": floors.openssl_server_us(count, at_once) + crypto,
        **{f"{AT_CA}{name}": us for name, us in cpu_per_certificate_us(count // 2).items()},
    }


def _summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Median and extremes of every figure; the ratios are taken within each round first."""
    for each in rounds:
        for floor in ("inMemory", "bareServer", "bareTalk", "openssl"):
            each[f"{floor}Ratio"] = each["cpuUs"] / each[f"{floor}Us"]
        each |= {
            name.replace(AT_CA, TO_CA): each["cpuUs"] / us
            for name, us in each.items()
            if name.startswith(AT_CA)
        }
        each["connectRatio"] = each["connectUs"] / each["mutualUs"]
        each["lightRatio"] = each["lightCpuUs"] / each["opensslUs"]
    return {
        name: {
            "median": statistics.median(each[name] for each in rounds),
            "low": min(each[name] for each in rounds),
            "high": max(each[name] for each in rounds),
        }
        for name in rounds[0]
    }


def _once() -> dict[str, Any]:
    """What one run is enough for: the SDKs' view (on the ports that they insist on), and the size of an idle service."""
    every_wire = measurable()
    with service(None, "--mqtt-port", "8883", *(PORTS if every_wire else ())) as running:
        idle_mb = resident_bytes(running.pid) / 1e6
        sdk = asdict(register_times(running))
        wires = over_each_wire(running) if every_wire else {}
    return {
        "sdk": sdk,
        "idleMb": idle_mb,
        "idle": asdict(idle(CONNECTIONS)),
        "wires": {wire: asdict(figures) for wire, figures in wires.items()},
    }


def _compare(earlier: list[dict[str, Any]], result: dict[str, Any]) -> None:
    if earlier:
        before = earlier[-1]
        print(
            f"\nopenssl ratio {before['opensslRatio']['median']:.2f} at {before['at']}, "
            f"{result['opensslRatio']['median']:.2f} now"
        )


if __name__ == "__main__":
    main()
