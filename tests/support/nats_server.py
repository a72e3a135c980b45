"""A real NATS server of a test, with JetStream, in a folder of its own; it can be killed and comes back with what it stored."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_port
from support.programs import missing


class NatsServer:
    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        found = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if found is None:
            missing("nats-server is not installed")
        self._program = found
        self._folder = folder
        self.address = address
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # Debian's server is older than `sync_interval: always`: a kill loses nothing of what it wrote, a power failure might.
        (folder / "nats.conf").write_text(
            f"listen: {address}:{self.port}\njetstream {{ store_dir: {folder / 'jetstream'} }}\n"
        )
        self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"nats://{self.address}:{self.port}"

    def start(self) -> None:
        """Return once it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self._folder / "nats.conf"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "nats-server takes no connections"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)


@contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Iterator[NatsServer]:
    server = NatsServer(folder, address)
    try:
        yield server
    finally:
        server.kill()
