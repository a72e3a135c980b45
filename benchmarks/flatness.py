"""Does a fleet cost more for each device when it is large? The same questions to a service with a thousand devices and, in the same
minutes, to one with more and more.

`make flatness` fills a data folder step by step to a million devices and asks at each step. Figures are CPU of the server
process, but for the start, which is the time to ready. Prints the table, keeps the record in `benchmarks/results/`, and with
`--docs` draws `docs/flatness.png`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import uvloop

from benchmarks.cpu import cpu_seconds
from benchmarks.fleet import Device, client_context, provision
from benchmarks.loader import TEMPLATE, load, name_of
from benchmarks.machine import machine
from benchmarks.provisioning import full_provisioning
from benchmarks.sdk import enroll_group
from benchmarks.service import Measured, service

SMALL = 1_000
STEPS = (10_000, 100_000, 1_000_000)
PAGE = 100
TIMES = {"registerUs": 1_000, "pageUs": 100, "oneUs": 200, "rangeUs": 200, "showUs": 200, "revokeUs": 50}
"""How often each question is asked."""

IDLE_S = 0.05
"""CPU in two seconds below which a service is idle."""

PORTIONS = 5
FLAGS = ("--public-port", "0")
REASON = {"reason": "cessationOfOperation"}
RESULTS = Path(__file__).parent / "results"
PLOT = Path(__file__).parent.parent / "docs" / "flatness.png"

QUESTIONS = {
    "registerUs": "server CPU per provisioning",
    "pageUs": f"server CPU per page of {PAGE} enrollments, from the middle of the list",
    "oneUs": "server CPU per query for one registration id",
    "rangeUs": "server CPU per query for 20 enrollments by the beginning of their ids",
    "showUs": "server CPU per registration state that is read",
    "revokeUs": "server CPU per device that is revoked",
    "startS": "process start to ready",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flatness", description=__doc__)
    parser.add_argument("--devices", type=int, default=STEPS[-1], help="how many the last step has")
    parser.add_argument("--docs", action="store_true", help="draw docs/flatness.png too")
    parser.add_argument(
        "--draw", type=Path, metavar="RECORD", help="only draw it, from the record of an earlier run"
    )
    arguments = parser.parse_args()
    if arguments.draw:
        draw(json.loads(arguments.draw.read_text())["steps"], PLOT)
        return
    steps = [step for step in STEPS if step < arguments.devices] + [arguments.devices]
    with tempfile.TemporaryDirectory(prefix="accredit-flat-") as folder:
        found = _climb(Path(folder), steps)
    result = {
        "kind": "flatness",
        "machine": machine(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "steps": found,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"flatness-{result['at'].replace(':', '')}.json").write_text(
        json.dumps(result, indent=2) + "\n"
    )
    print(as_text(found))
    if arguments.docs:
        draw(found, PLOT)


def _climb(folder: Path, steps: list[int]) -> list[dict[str, Any]]:
    small, large = folder / "small", folder / "large"
    _first_device(small)
    load(small / "accredit.db", 0, SMALL)
    _sequenced(small)
    shutil.copytree(small, large)
    found: list[dict[str, Any]] = []
    loaded, before_bytes = SMALL, _bytes(small)
    for devices in steps:
        began = time.perf_counter()
        load(large / "accredit.db", loaded, devices - loaded)
        took, loaded = time.perf_counter() - began, devices
        _sequenced(large)
        each_bytes = (_bytes(large) - before_bytes) / (devices - SMALL)
        with service(small, *FLAGS) as one, service(large, *FLAGS) as other:
            figures = _ask([_Asked(one, SMALL), _Asked(other, devices)])
        found.append({"devices": devices, "loadS": took, "bytesPerDevice": each_bytes, **figures})
        print(json.dumps(found[-1]), flush=True)
    return found


def _bytes(data: Path) -> int:
    return sum(path.stat().st_size for path in data.glob("accredit.db*"))


def _sequenced(data: Path) -> None:
    """The service gives what was loaded its places in the log; that is no part of what is asked."""
    with service(data, *FLAGS) as running:
        spent = cpu_seconds(running.pid)
        while True:
            time.sleep(2)
            now = cpu_seconds(running.pid)
            if now - spent < IDLE_S:
                return
            spent = now


def _first_device(data: Path) -> None:
    """The one whose rows are copied: enrolled by the certificate it shows, provisioned with a CSR."""
    with service(data, *FLAGS) as running, tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder) / "key.pem", Path(folder) / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
             "-subj", f"/CN={TEMPLATE}", "-keyout", key, "-out", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        proof = {
            "type": "x509",
            "x509": {"clientCertificates": {"primary": {"certificate": certificate.read_text()}}},
        }
        body = {
            "registrationId": TEMPLATE,
            "attestation": proof,
            "clientCertificateIssuancePolicy": {"certificateAuthorityName": "builtin"},
        }
        running.api().call("PUT", f"/enrollments/{TEMPLATE}", body)
        trust = client_context(running.trust_root)
        trust.load_cert_chain(certificate, key)
        answer = httpx.put(
            f"https://{running.host}:{running.https_port}/{running.id_scope}/registrations/{TEMPLATE}/register",
            params={"api-version": "2021-06-01"},
            json={
                "registrationId": TEMPLATE,
                "payload": {"clientCertificateCsr": Device.make(TEMPLATE, b"-").csr},
            },
            verify=trust,
        )
        if answer.json().get("status") != "assigned":
            raise RuntimeError(answer.text)


class _Asked:
    """A running service, and what is asked of it; every question is numbered."""

    def __init__(self, running: Measured, devices: int) -> None:
        self.running = running
        self._api = running.api()
        self._middle = name_of(devices // 2)
        self._revocable: list[str] = []

    def registerUs(self, portion: range) -> float:  # noqa: N802 - the figure's name
        """It warms up first, and so measures by itself."""
        return full_provisioning(self.running, len(portion), 32).cpu_us

    def pageUs(self, portion: range) -> None:  # noqa: N802
        """As a listing that has come to the middle asks for what follows."""
        self._query(portion, f"registrationId >= '{self._middle}'", PAGE)

    def oneUs(self, portion: range) -> None:  # noqa: N802
        self._query(portion, f"registrationId = '{self._middle}'", PAGE)

    def rangeUs(self, portion: range) -> None:  # noqa: N802
        self._query(portion, f"STARTSWITH(registrationId, '{self._middle[:-1]}')", 20)

    def showUs(self, portion: range) -> None:  # noqa: N802
        for _ in portion:
            self._api.call("GET", f"/registrations/{TEMPLATE}")

    def revokeUs(self, portion: range) -> None:  # noqa: N802
        for number in portion:
            self._api.call("POST", f"/registrations/{self._revocable[number]}/revoke", REASON)

    def provision(self, count: int) -> None:
        """Devices to be revoked."""
        running = self.running
        group_key = secrets.token_bytes(32)
        name = enroll_group(running, "revoked", group_key)
        devices = [Device.make(f"{name}-{number}", group_key) for number in range(count)]
        trust = client_context(running.trust_root)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            tally = runner.run(
                provision(devices, running.host, running.mqtt_port, running.id_scope, trust, 8)
            )
        if tally.failures:
            raise RuntimeError(tally.failures[0])
        self._revocable = [device.registration_id for device in devices]

    def _query(self, portion: range, condition: str, limit: int) -> None:
        body = {"query": f"SELECT * FROM enrollments WHERE {condition}"}
        for _ in portion:
            self._api.call("POST", "/enrollments/query", body, headers={"x-ms-max-item-count": str(limit)})


def _ask(both: list[_Asked]) -> dict[str, list[float]]:
    """Each figure of the small service and of the large one: the cheapest of portions that alternate, because a neighbour on the
    machine, or a checkpoint of the database, falls into some of them."""
    for each in both:
        each.provision(TIMES["revokeUs"])
    figures: dict[str, list[float]] = {"startS": [each.running.started_s for each in both]}
    for name, times in TIMES.items():
        least = [float("inf")] * len(both)
        for portion in range(PORTIONS):
            numbers = range(portion * times // PORTIONS, (portion + 1) * times // PORTIONS)
            for place, each in enumerate(both):
                before = cpu_seconds(each.running.pid)
                told = getattr(each, name)(numbers)
                spent = told or (cpu_seconds(each.running.pid) - before) / len(numbers) * 1e6
                least[place] = min(least[place], spent)
        figures[name] = least
    return figures


def as_text(steps: list[dict[str, Any]]) -> str:
    """A line for each question, and for each step the small service, the large one, and how they stand."""
    head = "".join(f"{SMALL:>10,}{int(step['devices']):>12,}{'ratio':>8}" for step in steps)
    lines = [f"{'devices':<72}{head}"]
    for name, what in QUESTIONS.items():
        digits = 2 if name.endswith("S") else 0
        cells = ((*step[name], step[name][1] / step[name][0]) for step in steps)
        lines.append(
            f"{what:<72}"
            + "".join(f"{a:>10.{digits}f}{b:>12.{digits}f}{ratio:>8.2f}" for a, b, ratio in cells)
        )
    last = steps[-1]
    took = sum(step["loadS"] for step in steps)
    return "\n".join(
        [*lines, f"database per device: {last['bytesPerDevice']:.0f} bytes; loaded in {took:.0f} s"]
    )


def draw(steps: list[dict[str, Any]], to: Path) -> None:
    """Each figure of CPU as a multiple of the small service's in the same minutes, over the devices there are.

    The time of a start is in the table alone: a busy machine makes it what it likes.
    """
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy, and only the docs need it

    figure, axes = plt.subplots(figsize=(8, 4.5))
    places = [SMALL, *(step["devices"] for step in steps)]
    for name, what in QUESTIONS.items():
        if name == "startS":
            continue
        axes.plot(places, [1.0, *(step[name][1] / step[name][0] for step in steps)], marker="o", label=what)
    axes.axhspan(0.9, 1.1, color="0.9", zorder=0, label="within a tenth")
    axes.set_xscale("log")
    axes.set_ylim(0, max(2.0, axes.get_ylim()[1]))
    axes.set_xlabel("devices enrolled, registered and certified")
    axes.set_ylabel(f"multiple of what it is with {SMALL:,}")
    axes.legend(fontsize="x-small", loc="lower left")
    figure.tight_layout()
    figure.savefig(to, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
