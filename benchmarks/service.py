"""A service to measure: a process of its own in a throw-away folder, stopped at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accredit.cli.connection import ServiceClient
from accredit.cli.local import client

HOST = os.environ.setdefault("BENCH_HOST", f"127.99.{os.getpid() % 250}.1")
"""An address of this run's own, so that two of them keep out of each other's way; its children know it by the environment."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`started_s` is from the start of the process to ready."""

    pid: int
    data: Path
    host: str
    mqtt_port: int
    https_port: int
    id_scope: str
    trust_root: str
    started_s: float

    def api(self) -> ServiceClient:
        return client(self.data, None, None)


@contextmanager
def service(
    data: Path | None = None, *flags: str, program: Sequence[str] = ("-m", "accredit")
) -> Iterator[Measured]:
    """Start it, yield it ready, stop it gracefully. `program` is what Python runs."""
    with tempfile.TemporaryDirectory(prefix="accredit-bench-") as folder:
        data = data or Path(folder) / "data"
        (data / "running.json").unlink(missing_ok=True)
        command = [sys.executable, *program, "serve", "--data-dir", str(data), "--host", HOST]
        command += ["--bind", HOST, "--https-port", "0", "--mqtt-port", "0", "--amqp-port", "0", *flags]
        # As a user has it: no settings of ours, and compiled modules kept.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCREDIT_")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with (Path(folder) / "log").open("wb") as log:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            while not (data / "running.json").exists():
                if process.poll() is not None:
                    raise RuntimeError((Path(folder) / "log").read_text())
                time.sleep(0.002)
            started_s = time.perf_counter() - began
            running = json.loads((data / "running.json").read_text())
            info = json.loads(
                subprocess.run(
                    [sys.executable, "-m", "accredit", "info", "--json", "--data-dir", str(data)],
                    capture_output=True, check=True,
                ).stdout
            )  # fmt: skip
            yield Measured(
                process.pid,
                data,
                HOST,
                running["mqtt"],
                running["https"],
                info["idScope"],
                info["trustRoot"],
                started_s,
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
