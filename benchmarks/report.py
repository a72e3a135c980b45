"""The table of one run, for the terminal and for docs/performance.md."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.where import by_file, by_room

_ROWS = (
    ("server CPU per provisioning", "cpuUs", "us", 0),
    ("ratio to `openssl s_server` + verify + sign", "opensslRatio", "x", 2),
    ("the same ratio with 8 devices at a time", "lightRatio", "x", 2),
    ("ratio to the bare server + verify + sign", "bareServerRatio", "x", 2),
    ("ratio to the bare conversation + verify + sign", "bareTalkRatio", "x", 2),
    ("ratio to crypto in memory", "inMemoryRatio", "x", 2),
    ("`openssl s_server` + verify + sign", "opensslUs", "us", 0),
    ("bare server + verify + sign", "bareServerUs", "us", 0),
    ("bare conversation + verify + sign", "bareTalkUs", "us", 0),
    ("crypto in memory", "inMemoryUs", "us", 0),
    ("registrations per second, beside the load generator", "perSecond", "/s", 0),
    ("latency p50 under full load", "p50Ms", "ms", 1),
    ("latency p50 at half of these registrations per second", "halfP50Ms", "ms", 1),
    ("latency p99 at half of them", "halfP99Ms", "ms", 1),
    ("latency p50 with 8 devices at a time", "lightP50Ms", "ms", 1),
    ("latency p99 under full load", "p99Ms", "ms", 1),
    ("resident after the load", "residentMb", "MB", 0),
    ("process start to ready", "startS", "s", 2),
    ("server CPU per hub connection by client certificate", "connectUs", "us", 0),
    ("ratio to the mutual handshake of `openssl s_server -Verify`", "connectRatio", "x", 2),
    ("`openssl s_server -Verify`", "mutualUs", "us", 0),
    ("server CPU per telemetry message, 16 of each device on their way", "messageUs", "us", 1),
    ("of that in the event loop: TLS, MQTT, topic, acknowledgement", "messageLoopUs", "us", 1),
    ("of that in the thread that writes segments", "messageOthersUs", "us", 1),
    ("telemetry messages per second, beside the load generator", "messagesPerSecond", "/s", 0),
    ("server CPU per telemetry message of a device that waits for each PUBACK", "loneMessageUs", "us", 1),
)


AT_CA, TO_CA = "at:", "to:"
"""What another CA's figure, and our ratio to it, are called: this, and its name."""


def _spread(figure: dict[str, float], digits: int) -> str:
    return f"{figure['low']:.{digits}f} to {figure['high']:.{digits}f}"


def rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, median, spread) for each figure."""
    table = []
    for what, name, unit, digits in _ROWS:
        figure = result[name]
        table.append(
            (
                what,
                f"{figure['median']:.{digits}f} {unit}",
                _spread(figure, digits),
            )
        )
    for name in (each.removeprefix(AT_CA) for each in result if each.startswith(AT_CA)):
        figure, ratio = result[AT_CA + name], result[TO_CA + name]
        table.append((f"{name}'s CPU per certificate", f"{figure['median']:.0f} us", _spread(figure, 0)))
        table.append(("our provisioning to that", f"{ratio['median']:.2f} x", _spread(ratio, 2)))
    # Onboarding: from the SDK's connect to the assignment with its certificate, one device at a time.
    table.append(("onboarding time the Python SDK sees, p50", f"{result['sdk']['p50_ms']:.1f} ms", ""))
    table.append(("onboarding time the Python SDK sees, p99", f"{result['sdk']['p99_ms']:.1f} ms", ""))
    for wire, figures in result["wires"].items():
        table.append(
            (
                f"onboarding time the Node SDK sees over {wire}, p50",
                f"{figures['p50_ms']:.1f} ms",
                f"p99 {figures['p99_ms']:.1f}",
            )
        )
        table.append((f"server CPU for it over {wire}", f"{figures['cpu_us']:.0f} us", ""))
    if not result["wires"]:
        table.append(("onboarding time the Node SDK sees", "not measured", "no Node SDK, or no port 443"))
    for workers, spent in result["scaledOut"]["workers_us"].items():
        what = f"server CPU per provisioning on PostgreSQL and NATS, workers: {workers}"
        spread = f"{min(spent):.0f} to {max(spent):.0f}"
        table.append((what, f"{statistics.median(spent):.0f} us", spread))
    table.append(("PostgreSQL's CPU for it", f"{result['scaledOut']['database_us']:.0f} us", ""))
    table.append(("JetStream's CPU per stored message", f"{result['scaledOut']['message_us']:.1f} us", ""))
    idle = result["idle"]
    what = f"resident for each of {idle['connections']} silent hub connections by client certificate"
    table.append((what, f"{idle['per_connection_kib']:.1f} KiB", ""))
    table.append(("server CPU per keep-alive of one", f"{idle['ping_us']:.0f} us", ""))
    for what, name in (("one device", "one"), ("a group at once", "group")):
        closing = result["revocation"][name]
        table.append(
            (
                f"from the call that revokes {what} to the end of its connections, p99 of {result['revocation']['live']} live ones",
                f"{closing['p99_ms']:.0f} ms",
                f"p50 {closing['p50_ms']:.0f}, the last {closing['max_ms']:.0f}",
            )
        )
    table.append(("the whole group revoked", f"{result['revocation']['groupDoneS']:.1f} s", ""))
    table.append(("resident when idle", f"{result['idleMb']:.0f} MB", ""))
    return table


def as_text(result: dict[str, Any]) -> str:
    """For the terminal."""
    machine = result["machine"]
    head = f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']}, Python {machine['python']}, {machine['openssl']}"
    lines = [
        head,
        f"{result['rounds']} rounds of {result['count']} provisionings, {result['atOnce']} at a time",
        "",
    ]
    lines += [f"{what.replace('`', ''):<68} {median:>12}   {spread}" for what, median, spread in rows(result)]
    lines += ["", "where the CPU of a provisioning goes, by room and by file:"]
    lines += [f"{what.replace('`', ''):<68} {share:>12.1%}" for what, share in _where(result)]
    return "\n".join(lines)


def _where(result: dict[str, Any]) -> list[tuple[str, float]]:
    return [*by_room(result["where"]), *by_file(result["where"])]


def as_markdown(result: dict[str, Any], earlier: list[dict[str, Any]]) -> str:
    """For the docs, with the records of earlier runs, the oldest first."""
    machine = result["machine"]
    head = (
        f"{machine['cpu']}, {machine['cores']} cores shared with others (load {machine['load']}), Python {machine['python']}, "
        f"{machine['openssl']}; {result['rounds']} rounds of {result['count']} provisionings, {result['atOnce']} devices at a "
        f"time, {result['at'][:10]}."
    )
    lines = [
        head,
        "",
        "| figure | median | low to high |",
        "|---|---|---|",
    ]
    lines += [f"| {what} | {median} | {spread} |" for what, median, spread in rows(result)]
    lines += [
        "",
        "Where the CPU of one provisioning goes, by room and by file:",
        "",
        *_profile(result, earlier),
    ]
    lines += ["", "The record of the ratios:", "", *_history([*earlier, result])]
    return "\n".join(lines) + "\n"


def _profile(result: dict[str, Any], earlier: list[dict[str, Any]]) -> list[str]:
    """In microseconds, beside the first run that has looked."""
    first = next((each for each in (*earlier, result) if each.get("where")), result)
    before = dict(_where(first))
    lines = [f"| where | {first['at'][:16]} | {result['at'][:16]} |", "|---|---|---|"]
    for what, share in _where(result):
        then = _us(first, before[what]) if what in before else ""
        lines.append(f"| {what} | {then} | {_us(result, share)} |")
    return lines


def _us(result: dict[str, Any], share: float) -> str:
    return f"{share * result['cpuUs']['median']:.0f} us"


def _history(results: list[dict[str, Any]]) -> list[str]:
    """Times of different days are not to be compared, because the machine was another or busy; ratios are."""
    lines = [
        "| run | to `openssl s_server` | to the bare server | to crypto in memory | server CPU |",
        "|---|---|---|---|---|",
    ]
    for each in results:
        ratios = (each[f"{floor}Ratio"]["median"] for floor in ("openssl", "bareServer", "inMemory"))
        cells = " | ".join(f"{ratio:.2f} x" for ratio in ratios)
        lines.append(f"| {each['at'][:16]} | {cells} | {each['cpuUs']['median']:.0f} us |")
    return lines
