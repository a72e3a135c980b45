"""Several nodes of one service: each with a data folder and an address of its own, on one PostgreSQL and one NATS.

Devices may go to any of them: every node's address is a name of the service, the first one's is the hub's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from support.network import Network
from support.running_service import RunningService, loopback_address

LEASE_S = 10
"""The shortest that may be set: a test need not wait a minute for what a dead node has left."""


class Nodes:
    """`environment` is every node's; `database_urls` names each node's own way to the database where it has one, `networks`
    the network that it lives in where that is not the machine's.

    `first_name` is what devices know the service by, where that is none of the nodes' addresses.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        nats_url: str,
        count: int,
        environment: dict[str, str] | None = None,
        database_urls: dict[int, str] | None = None,
        networks: dict[int, Network] | None = None,
        first_name: str | None = None,
    ) -> None:
        key = folder / "master.key"
        if not key.exists():
            key.write_bytes(os.urandom(32))
            key.chmod(0o600)
        apart = networks or {}
        addresses = [
            apart[number].address if number in apart else loopback_address() for number in range(count)
        ]
        self.names = addresses if first_name is None else [first_name, *addresses]
        self.nodes = [
            RunningService(
                folder / f"node-{number}",
                host=name,
                names=self.names,
                within=apart[number].command if number in apart else (),
                environment={
                    "ACCREDIT_DATABASE_URL": (database_urls or {}).get(number, database_url),
                    "ACCREDIT_NATS_URL": nats_url,
                    "ACCREDIT_MASTER_KEY_FILE": str(key),
                    "ACCREDIT_LEASE_S": str(LEASE_S),
                    **(environment or {}),
                },
            )
            for number, name in enumerate(addresses)
        ]

    def start(self) -> None:
        """The first one makes what a first start makes."""
        self.nodes[0].start()
        with ThreadPoolExecutor(len(self.nodes)) as together:
            for started in [together.submit(node.start) for node in self.nodes[1:]]:
                started.result()

    def stop(self) -> list[int]:
        with ThreadPoolExecutor(len(self.nodes)) as together:
            return list(together.map(RunningService.stop, self.nodes))

    @contextmanager
    def running(self) -> Iterator[list[RunningService]]:
        try:
            self.start()
            yield self.nodes
        finally:
            self.stop()
