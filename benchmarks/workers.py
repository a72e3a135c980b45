"""What a provisioning costs with one worker and with two: `python -m benchmarks.workers`.

Both on PostgreSQL and NATS, in turns, so that whatever else the machine does meets both alike. The parent, which serves nothing,
counts in.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.cpu import family_cpu_seconds
from benchmarks.provisioning import full_provisioning
from benchmarks.service import service
from support import nats_server, postgres_server

ROUNDS = 3
_WARM = 100
"""What `full_provisioning` provisions before it measures."""


def with_workers(workers: int, count: int, at_once: int) -> float:
    """CPU in microseconds of all processes of the service, per provisioning."""
    with (
        postgres_server.running() as database,
        tempfile.TemporaryDirectory() as stream,
        tempfile.TemporaryDirectory() as folder,
        nats_server.running(Path(stream)) as nats,
    ):
        settings = Path(folder) / "accredit.toml"
        settings.touch(mode=0o600)
        settings.write_text(
            f'database_url = "{database.url()}"\nnats_url = "{nats.url}"\nworkers = {workers}\n'
        )
        with service(Path(folder)) as running:
            full_provisioning(running, count // 4, at_once)
            before = family_cpu_seconds(running.pid)
            full_provisioning(running, count, at_once)
            return (family_cpu_seconds(running.pid) - before) / (count + _WARM) * 1e6


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_500
    spent: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for workers, figures in spent.items():
            figures.append(with_workers(workers, count, 64))
    for workers, figures in spent.items():
        median = statistics.median(figures)
        print(
            f"{workers} worker{'s' * (workers > 1)}: {median:.0f} us CPU per provisioning ({min(figures):.0f} to {max(figures):.0f})"
        )
    print(f"ratio {statistics.median(spent[2]) / statistics.median(spent[1]):.2f}")


if __name__ == "__main__":
    main()
