"""What the servers of a scaled-out service spend: PostgreSQL on a provisioning, JetStream on a message.

Both run beside the service on this machine, as the tests start them.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.js.api import StorageType, StreamConfig

from benchmarks.cpu import cpu_seconds, family_cpu_seconds
from benchmarks.provisioning import full_provisioning
from benchmarks.service import service
from support import nats_server, postgres_server

IN_FLIGHT = 256
WORKERS = (1, 2)
ROUNDS = 3
_BODY = b'{"temperature": 21.5, "humidity": 40, "line": "north", "at": "2026-01-01T00:00:00Z"}'


@dataclass(frozen=True, slots=True)
class ScaledOut:
    """CPU in microseconds: `workers_us` of the service per provisioning, by the number of its workers, in each round.

    `database_us` is PostgreSQL's for it, `message_us` JetStream's for each message that it stores.
    """

    workers_us: dict[str, list[float]]
    database_us: float
    message_us: float


def scaled_out(count: int, at_once: int) -> ScaledOut:
    """`count` provisionings with each number of workers, in turns, and ten times as many messages into a stream."""
    with (
        postgres_server.running() as database,
        tempfile.TemporaryDirectory() as folder,
        nats_server.running(Path(folder)) as stream,
    ):
        workers_us: dict[str, list[float]] = {str(workers): [] for workers in WORKERS}
        database_us = []
        for _ in range(ROUNDS):
            for workers, spent in workers_us.items():
                service_us, beside_us = _provisioning_us(database, stream, workers, count, at_once)
                spent.append(service_us)
                database_us.append(beside_us)
        message_us = asyncio.run(_stored(stream, count * 10))
        return ScaledOut(workers_us, statistics.median(database_us), message_us)


def _provisioning_us(
    database: postgres_server.PostgresServer,
    stream: nats_server.NatsServer,
    workers: str,
    count: int,
    at_once: int,
) -> tuple[float, float]:
    """Of the service, and of the database."""
    with tempfile.TemporaryDirectory() as name:
        folder = _data_folder(Path(name), database.new_database(), stream.url)
        with service(folder, "--workers", workers) as running:
            full_provisioning(running, count // 4, at_once)
            before = family_cpu_seconds(database.pid)
            figures = full_provisioning(running, count, at_once)
            return figures.cpu_us, (family_cpu_seconds(database.pid) - before) / count * 1e6


def _data_folder(folder: Path, database_url: str, nats_url: str) -> Path:
    """One whose settings name both."""
    folder.chmod(0o700)
    settings = folder / "accredit.toml"
    settings.touch(mode=0o600)
    settings.write_text(f'database_url = "{database_url}"\nnats_url = "{nats_url}"\n')
    return folder


async def _stored(server: nats_server.NatsServer, count: int) -> float:
    """CPU microseconds of the server for each message that it acknowledged as stored."""
    connection = await nats.connect(server.url)
    jetstream = connection.jetstream()
    await jetstream.add_stream(StreamConfig(name="bench", subjects=["bench"], storage=StorageType.FILE))
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await jetstream.publish("bench", _BODY)

    before = cpu_seconds(server.pid)
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    spent = cpu_seconds(server.pid) - before
    await connection.close()
    return spent / count * 1e6
