"""Kill nodes, PostgreSQL and NATS at random moments, under a load of devices; then compare all books.

Three nodes stand behind a load balancer. An outside CA that drops answers after signing, drops orders, throttles and
dawdles is one authority, the built-in CA the other. What devices were told, what the CA signed and what the service says
of itself must agree to the last certificate and message.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import nats_server
from support.accountant import audit
from support.balancer import balancer
from support.device_book import Book, Identity
from support.device_key import derived_key
from support.digicert_process import DigiCertProcess
from support.load import Fleet
from support.mqtt_peer import Service
from support.nats_server import NatsServer
from support.nodes import Nodes
from support.postgres_server import PostgresServer
from support.running_service import RunningService, loopback_address

AUTHORITIES = ("builtin", "outside")
MISCHIEF = {
    "drop-after": 0.05,
    "drop-before": 0.05,
    "error-500": 0.05,
    "throttle-bare": 0.05,
    "wrong-order": 0.03,
}
DELAYS_S = (0.0, 0.05, 0.3)
ENDS_WITHIN_S = 180

EXPECTED_ERRORS = {"store-unavailable"}
"""What the log may say aloud while the database is away."""

_LEFT = "SELECT COUNT(*) FROM operations WHERE state = 'open' OR (state = 'superseded' AND submitted = 1)"


@dataclass(frozen=True)
class Scale:
    """`restarts` are of PostgreSQL and as many of NATS."""

    node_kills: int
    restarts: int
    devices_of_a_kind: int
    steps_between: int


SHORT = Scale(node_kills=2, restarts=1, devices_of_a_kind=3, steps_between=80)
LONG = Scale(node_kills=20, restarts=3, devices_of_a_kind=8, steps_between=800)


class Campaign:
    def __init__(
        self,
        folder: Path,
        seed: int,
        scale: Scale,
        digicert: DigiCertProcess,
        postgres: PostgresServer,
        nats: NatsServer,
    ) -> None:
        self.folder, self.seed, self.scale = folder, seed, scale
        self.digicert, self.postgres, self.nats = digicert, postgres, nats
        self.random = random.Random(seed)
        self.door = loopback_address()
        self.nodes = Nodes(
            folder,
            postgres.emptied(),
            nats.url,
            3,
            {
                "ACCREDIT_DIGICERT_URL": digicert.url,
                "ACCREDIT_PATIENCE_MS": "150",
                "ACCREDIT_CA_RETRY_S": "60",
            },
            first_name=self.door,
        )
        self.done: list[str] = []

    @property
    def first(self) -> RunningService:
        return self.nodes.nodes[0]

    def start(self) -> None:
        self.nodes.start()
        self.service = Service(self.door, self.first.mqtt_port, self.first.id_scope, self.first.trust_root)
        self.fleet = Fleet(self.service, self._enrolled(), self.seed)

    def _enrolled(self) -> list[Book]:
        self.first.put("/certificateAuthorities/outside", self.digicert.authority)
        books = []
        for authority in AUTHORITIES:
            policy = {"clientCertificateIssuancePolicy": {"certificateAuthorityName": authority}}
            group = self.first.put(
                f"/enrollmentGroups/{authority}-line",
                {"enrollmentGroupId": f"{authority}-line", "attestation": {"type": "symmetricKey"}, **policy},
            )
            master = group["attestation"]["symmetricKey"]["primaryKey"]
            for number in range(self.scale.devices_of_a_kind):
                name = f"{authority}-{number}"
                identity = Identity(name, authority, derived_key(master, name), impatient=number % 3 == 2)
                books.append(Book(self.folder / "devices" / name, identity))
        return books

    def plan(self) -> list[Callable[[], None]]:
        """What happens, in an order of this seed's."""
        acts = [self.kill_a_node] * self.scale.node_kills
        acts += [self.restart_postgresql, self.restart_nats] * self.scale.restarts
        self.random.shuffle(acts)
        return acts

    async def happens(self, act: Callable[[], None]) -> None:
        """After some packets more."""
        self.digicert.misbehaves(
            rates=MISCHIEF, delay_s=self.random.choice(DELAYS_S), seed=self.random.random()
        )
        await self.fleet.makes(self.random.randint(20, self.scale.steps_between), within_s=ENDS_WITHIN_S)
        await asyncio.to_thread(act)
        self.done.append(act.__name__)

    def kill_a_node(self) -> None:
        node = self.random.choice(self.nodes.nodes)
        node.kill()
        time.sleep(self.random.uniform(0, 1))
        node.start()

    def restart_postgresql(self) -> None:
        self.postgres.kill()
        time.sleep(self.random.uniform(0, 1))
        self.postgres.start()

    def restart_nats(self) -> None:
        self.nats.kill()
        time.sleep(self.random.uniform(0, 1))
        self.nats.start()

    def settled(self) -> bool:
        """Whether every operation has ended, or is accounted for, before one waits no longer."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        while self.postgres.execute(_LEFT) != [(0,)]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def misbehaved(self) -> list[str]:
        """What no node's log may hold."""
        found = []
        for node in self.nodes.nodes:
            found += [
                f"logged: {line}"
                for line in node.log_lines()
                if (line["level"] == "error" and line["event"] not in EXPECTED_ERRORS) or "exception" in line
            ]
        return found


@asynccontextmanager
async def campaign(
    folder: Path, seed: int, scale: Scale, postgres: PostgresServer
) -> AsyncIterator[Campaign]:
    (folder / "nats").mkdir()
    with DigiCertProcess(folder) as digicert, nats_server.running(folder / "nats") as nats:
        one = Campaign(folder, seed, scale, digicert, postgres, nats)
        try:
            await asyncio.to_thread(one.start)
            hosts = [node.host for node in one.nodes.nodes]
            async with balancer(one.door, one.first.mqtt_port, hosts):
                yield one
        finally:
            await asyncio.to_thread(one.nodes.stop)


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=[pytest.mark.campaign, pytest.mark.timeout(3_600)]),
    ],
)
async def test_nothing_that_was_said_is_lost_between_nodes(
    tmp_path: Path, seed: int, scale: Scale, postgres: PostgresServer, tell: Callable[[str], None]
) -> None:
    async with campaign(tmp_path, seed, scale, postgres) as one:
        async with one.fleet.at_work():
            for act in one.plan():
                await one.happens(act)
                tell(_progress(one))
            one.digicert.misbehaves(rates={}, delay_s=0)
        found = [] if await asyncio.to_thread(one.settled) else ["an operation has not ended"]
        found += await audit(one.first, one.service, one.fleet.books, tmp_path / "ledger.jsonl", "outside")
        found += one.fleet.complaints + one.misbehaved()
        tell(_progress(one))
        assert not found, _report(found)
        assert all(book.answers and book.acknowledged for book in one.fleet.books)


def _progress(one: Campaign) -> str:
    books = one.fleet.books
    return (
        f"{time.strftime('%H:%M:%S')} {one.done[-1] if one.done else 'start'}, packets {one.fleet.steps},"
        f" answers {sum(len(book.answers) for book in books)},"
        f" abandoned {sum(len(book.abandoned) for book in books)},"
        f" messages {sum(len(book.acknowledged) for book in books)}, timed out {one.fleet.timed_out},"
        f" complaints {len(one.fleet.complaints)}"
    )


def _report(found: Sequence[str]) -> str:
    return f"{len(found)} differences:\n" + "\n".join(found[:40])
