"""Kill the service at random moments, again and again, under a load of devices; then compare all books.

An outside CA that drops answers after signing, drops orders, answers 500 after signing, throttles and dawdles is one
authority, the built-in CA the other. Two devices of each enrollment in a row are patient, the third is not.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.accountant import audit
from support.device_book import Book, Identity
from support.device_key import derived_key
from support.digicert_process import DigiCertProcess
from support.load import Fleet
from support.mqtt_peer import Service
from support.running_service import RunningService
from support.waiting import until

AUTHORITIES = ("builtin", "outside")
MISCHIEF = {
    "drop-after": 0.08, "drop-before": 0.06, "error-500": 0.08, "error-504": 0.03, "throttle-bare": 0.06,
    "garbage": 0.03, "wrong-order": 0.05, "root-missing": 0.05,
}  # fmt: skip
LONG_MISCHIEF = {**MISCHIEF, "throttle-seconds": 0.01, "pending": 0.02, "hang-after": 0.003}
LIST_MISCHIEF = ("drop-before", "throttle-bare")
"""What meets the next look-ups of lost answers."""

DELAYS_S = (0.0, 0.0, 0.05, 0.3)


@dataclass(frozen=True)
class Scale:
    kills: int
    devices_of_a_kind: int
    mischief: dict[str, float]
    steps_between_kills: int


SHORT = Scale(3, 5, MISCHIEF, 300)
LONG = Scale(50, 12, LONG_MISCHIEF, 1_200)


class Campaign:
    """The service, the CA and the devices, all with their state in one folder."""

    def __init__(self, folder: Path, seed: int, scale: Scale, digicert: DigiCertProcess) -> None:
        self.folder, self.scale, self.digicert = folder, scale, digicert
        self.random = random.Random(seed)
        self.seed = seed
        self._progress = folder / "progress.json"
        known: dict[str, Any] = json.loads(self._progress.read_text()) if self._progress.exists() else {}
        self.done = int(known.get("kills", 0))
        # A CA of an earlier run took orders that this one knows nothing of: they must come to an end as well.
        environment = {
            "ACCREDIT_DIGICERT_URL": digicert.url,
            "ACCREDIT_PATIENCE_MS": "150",
            "ACCREDIT_CA_RETRY_S": "60",
        }
        # The address is the hub's name, which assignments hold: a resumed campaign needs the same one.
        address = {"host": known["host"]} if "host" in known else {}
        self.running = RunningService(folder / "service", environment=environment, **address)
        self._earlier_log = len(self.running.log_text())

    def start(self) -> None:
        self.running.start()
        self.service = Service(
            self.running.host, self.running.mqtt_port, self.running.id_scope, self.running.trust_root
        )
        shelf = self.folder / "devices"
        if not self._progress.exists():
            self._enroll(shelf)
            self.count(0)
        books = [Book.open(folder) for folder in sorted(shelf.iterdir())]
        self.fleet = Fleet(self.service, books, self.seed)

    def count(self, kills: int) -> None:
        self.done = kills
        self._progress.write_text(json.dumps({"kills": kills, "host": self.running.host}))

    def _enroll(self, shelf: Path) -> None:
        self.running.put("/certificateAuthorities/outside", self.digicert.authority)
        for authority in AUTHORITIES:
            policy = {"clientCertificateIssuancePolicy": {"certificateAuthorityName": authority}}
            proof = {"attestation": {"type": "symmetricKey"}, **policy}
            group = self.running.put(
                f"/enrollmentGroups/{authority}-line", {"enrollmentGroupId": f"{authority}-line", **proof}
            )
            master = group["attestation"]["symmetricKey"]["primaryKey"]
            for number in range(self.scale.devices_of_a_kind):
                impatient = number % 3 == 2
                name = f"{authority}-of-group-{number}"
                Book(shelf / name, Identity(name, authority, derived_key(master, name), impatient))
                name = f"{authority}-alone-{number}"
                alone = self.running.put(f"/enrollments/{name}", {"registrationId": name, **proof})
                own = alone["attestation"]["symmetricKey"]["primaryKey"]
                Book(shelf / name, Identity(name, authority, own, impatient))

    async def kill(self) -> None:
        """After some packets more, at once or a moment later; some die again while they start, some are stopped."""
        draw = self.random
        self.digicert.misbehaves(
            rates=self.scale.mischief,
            delay_s=draw.choice(DELAYS_S),
            list_faults=draw.choices(LIST_MISCHIEF, k=draw.randint(0, 3)),
            seed=draw.random(),
        )
        await self.fleet.makes(draw.randint(20, self.scale.steps_between_kills))
        await asyncio.sleep(draw.uniform(0, 0.05))
        match draw.random():
            case roll if roll < 0.1:
                code = await asyncio.to_thread(self.running.stop)
                self.fleet.complaints += [f"it stopped with exit code {code}"] if code else []
            case roll if roll < 0.3:
                await asyncio.to_thread(self.running.kill)
                await self._dies_while_starting(draw.uniform(0.1, 1.0))
            case _:
                await asyncio.to_thread(self.running.kill)
        await asyncio.to_thread(self.running.start)

    async def _dies_while_starting(self, after_s: float) -> None:
        dead = self.running.process
        starting = asyncio.create_task(asyncio.to_thread(self.running.start))
        while self.running.process is dead:
            await asyncio.sleep(0.005)
        await asyncio.wait({starting}, timeout=after_s)
        await asyncio.to_thread(self.running.kill)
        # It was up already, or it says that it did not start.
        await asyncio.gather(starting, return_exceptions=True)

    async def outlasts_somebodys_patience(self) -> None:
        """On a slow machine the kills are over before any device has left an order behind."""
        self.digicert.misbehaves(rates={}, delay_s=max(DELAYS_S))
        await until(lambda: any(book.abandoned for book in self.fleet.books))

    async def resumed_by_one_more_start(self) -> int:
        """How many operations had not ended: a start takes up each of them, and says how many."""
        await asyncio.to_thread(self.running.stop)
        starts = len(self.running.log_lines("started"))
        await asyncio.to_thread(self.running.start)
        await until(lambda: len(self.running.log_lines("started")) > starts)
        return int(self.running.log_lines("started")[-1]["resumedOperations"])

    def misbehaved(self) -> list[str]:
        """What the service's own log of this run must not hold."""
        # What stands behind the last line end is still being written.
        text = self.running.log_text()[self._earlier_log :].rpartition("\n")[0]
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        found = [f"logged: {line}" for line in lines if line["level"] == "error" or "exception" in line]
        return found + (["a traceback was printed"] if "Traceback" in text else [])


@asynccontextmanager
async def campaign(folder: Path, seed: int, scale: Scale) -> AsyncIterator[Campaign]:
    with DigiCertProcess(folder) as digicert:
        one = Campaign(folder, seed, scale, digicert)
        try:
            await asyncio.to_thread(one.start)
            yield one
        finally:
            await asyncio.to_thread(one.running.stop)


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=[pytest.mark.campaign, pytest.mark.timeout(3_600)]),
    ],
)
async def test_nothing_that_was_said_is_lost(
    campaign_folder: Path, seed: int, scale: Scale, tell: Callable[[str], None]
) -> None:
    async with campaign(campaign_folder, seed, scale) as one:
        async with one.fleet.at_work():
            while one.done < scale.kills:
                await one.kill()
                one.count(one.done + 1)
                tell(_progress(one))
            await one.outlasts_somebodys_patience()
            one.digicert.misbehaves(rates={}, delay_s=0)
        resumed = await one.resumed_by_one_more_start()
        ledger = campaign_folder / "ledger.jsonl"
        found = await audit(one.running, one.service, one.fleet.books, ledger, "outside")
        found += one.fleet.complaints + one.misbehaved()
        found += [f"{resumed} operations had not ended"] if resumed else []
        tell(_progress(one))
        assert not found, _report(found)
        # A campaign in which nothing happens finds nothing.
        assert all(book.answers and book.acknowledged for book in one.fleet.books)


def _progress(one: Campaign) -> str:
    books = one.fleet.books
    return (
        f"{time.strftime('%H:%M:%S')} kills {one.done}, packets {one.fleet.steps},"
        f" answers {sum(len(book.answers) for book in books)},"
        f" keys {sum(book.keys for book in books)}, abandoned {sum(len(book.abandoned) for book in books)},"
        f" messages {sum(len(book.acknowledged) for book in books)}, timed out {one.fleet.timed_out},"
        f" complaints {len(one.fleet.complaints)}"
    )


def _report(found: Sequence[str]) -> str:
    return f"{len(found)} differences:\n" + "\n".join(found[:40])
