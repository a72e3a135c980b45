"""A real service as a process of its own, on a loopback address of its own, so that tests run side by side.

The SDKs have the ports 443 and 8883 built in; another 127.x.y.z gives each service a full set of them (Linux). Where
443 needs a privilege that the tests do not have, HTTPS moves to a free port; `needs_port_443` skips what can't move.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from accredit.app import local
from accredit.app.data_folder import DataFolder
from accredit.app.local import LocalState
from accredit.cli.connection import Connection, ServiceClient
from accredit.config import load
from accredit.domain.access import Realm
from accredit.domain.secret import Secret
from support.command import command

READY_S = 60.0
STOP_S = 60.0
TOLD_S = 60.0

_numbers = count(0)


def loopback_address(number: int | None = None) -> str:
    """An address that no other test process uses; the next one of this process where no `number` is given.

    The process id is in it, so that two test runs on one machine keep out of each other's way.
    """
    if sys.platform != "linux":
        pytest.skip("a service of its own for each test needs Linux, where every 127.x.y.z is this machine")
    if number is not None:
        return _address(number + 128)
    while True:
        candidate = _address(next(_numbers) % 128)
        if _free(candidate, 8883):
            return candidate


def _address(number: int) -> str:
    run = os.getpid() % (200 * 250)
    return f"127.{20 + run // 250}.{run % 250}.{number % 250 + 2}"


def _free(host: str, port: int) -> bool:
    """Whether the port can be bound; a port that needs a privilege counts as not free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@dataclass
class RunningService:
    """`arguments` are further flags of `accredit serve`; `environment` further variables.

    `names` are the host names of a service of which this is one node; else its address is its name. `within` is the
    command that runs it, where it is not to run just here.
    """

    folder: Path
    host: str = field(default_factory=loopback_address)
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    within: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    https_port: int = 443
    mqtt_port: int = 8883
    amqp_port: int = 5671
    _state: LocalState | None = None
    _clients: dict[Realm, ServiceClient] = field(default_factory=dict)

    def start(self) -> RunningService:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.https_port == 443 and not _free(self.host, 443):
            self.https_port = 0
        running = self.data / "running.json"
        running.unlink(missing_ok=True)
        self._state = None
        with self.log_file.open("ab") as sink:
            self.process = subprocess.Popen(
                [
                    *self.within, sys.executable, "-m", "accredit", "serve", "--data-dir", str(self.data),
                    *(word for name in self.names or [self.host] for word in ("--host", name)), "--bind", self.host,
                    "--https-port", str(self.https_port), "--mqtt-port", str(self.mqtt_port),
                    "--amqp-port", str(self.amqp_port),
                    *self.arguments,
                ],
                stdout=sink, stderr=sink, env=clean_environment() | self.environment,
            )  # fmt: skip
        deadline = time.monotonic() + READY_S
        while not running.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the service did not start:\n{self.log_text()}")
            time.sleep(0.01)
        document = json.loads(running.read_bytes())
        self.https_port, self.mqtt_port = document["https"], document["mqtt"]
        # 0 where the extra is not installed.
        self.amqp_port = document["amqp"]
        return self

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What it left on the disk.

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "service.log"

    def log_text(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def log_lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log's entries, or those of one event."""
        # What stands behind the last line end is still being written.
        whole = self.log_text().rpartition("\n")[0]
        lines = (line for line in whole.splitlines() if line.startswith("{"))
        return [entry for entry in map(json.loads, lines) if event is None or entry.get("event") == event]

    def logs(self, event: str, **fields: Any) -> dict[str, Any]:
        """The newest entry with these fields; waits for it, since lines are written off the path."""
        deadline = time.monotonic() + TOLD_S
        while True:
            for entry in reversed(self.log_lines(event)):
                if fields.items() <= entry.items():
                    return entry
            if time.monotonic() > deadline:
                raise AssertionError(f"no line {event} with {fields} among:\n{self.log_lines(event)[-5:]}")
            time.sleep(0.02)

    @property
    def trust_root(self) -> Path:
        return DataFolder(self.data).trust_root

    @property
    def trust(self) -> str:
        """What an SDK takes as `server_verification_cert`."""
        return self.trust_root.read_text()

    # The operator's side.

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.https_port}"

    def info(self) -> dict[str, Any]:
        """What `accredit info --json` prints."""
        document: dict[str, Any] = json.loads(self.cli("info", "--json").stdout)
        return document

    @property
    def state(self) -> LocalState:
        """The same without a process of its own, which most tests have no time for."""
        if self._state is None:
            # In a thread, because an asynchronous test has its own event loop running here.
            with ThreadPoolExecutor(1) as aside:
                self._state = aside.submit(self._read_state).result()
        return self._state

    def _read_state(self) -> LocalState:
        return asyncio.run(local.read(load({"data_dir": self.data}, self.environment)))

    @property
    def id_scope(self) -> str:
        return self.state.id_scope

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an `accredit` command against this service's data folder, in this process: a start of its own costs the most."""
        words = (*arguments, "--data-dir", str(self.data))
        # In a thread, because an asynchronous test has its own event loop running here.
        with ThreadPoolExecutor(1) as aside:
            ran = aside.submit(command, *words, **self.environment).result()
        if check and ran.code:
            raise AssertionError(f"accredit {' '.join(arguments)}: {ran.err}{ran.out}")
        return subprocess.CompletedProcess(words, ran.code, ran.out, ran.err)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """What a listing prints with `--json`."""
        return [json.loads(line) for line in self.cli(*arguments, "--json").stdout.splitlines()]

    def client(self, realm: Realm = Realm.PROVISIONING) -> ServiceClient:
        """The service API, or the hub's, with the owner's policy."""
        if realm not in self._clients:
            policy = self.state.owner(realm)
            self._clients[realm] = ServiceClient(
                Connection(self.host, self.url, policy.name, policy.primary, self.trust_root)
            )
        return self._clients[realm]

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create or replace a resource of the service API."""
        document: dict[str, Any] = self.client().call("PUT", path, body, headers={"if-match": "*"}).json()
        return document

    def certificates(self, registration_id: str | None = None) -> list[dict[str, Any]]:
        """What `accredit cert list --json` prints, with the PEM."""
        query: dict[str, str | int] = {} if registration_id is None else {"registrationId": registration_id}
        return list(self.client().rows("GET", "/certificates", query=query))

    def telemetry(self, device_id: str) -> list[dict[str, Any]]:
        """What `accredit hub telemetry --json --device` prints."""
        hub = self.client(Realm.HUB)
        rows: list[dict[str, Any]] = []
        while True:
            after = rows[-1]["sequenceNumber"] if rows else 0
            page = hub.call("GET", "/messages/events", query={"deviceId": device_id, "after": after}).json()
            if not page:
                return rows
            rows += page

    def https(self, **arguments: Any) -> httpx.Client:
        """A client that sends no token of its own."""
        context = ssl.create_default_context(cafile=str(self.trust_root))
        if "cert" in arguments:
            context.load_cert_chain(*arguments.pop("cert"))
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=60, **arguments)

    # Its end.

    def kill(self) -> None:
        """As if the power went."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop gracefully; returns the exit code."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self.process is None or self.process.poll() is not None:
            return -1 if self.process is None else self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the service did not stop:\n{self.log_text()[-3000:]}") from None


def clean_environment() -> dict[str, str]:
    """This process's environment without any setting of ours.

    Where Python may not leave bytecode beside the sources, it goes elsewhere: compiling all of it anew would triple
    the time of every start.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ACCREDIT_")}
    if clean.pop("PYTHONDONTWRITEBYTECODE", None):
        clean["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / f"accredit-bytecode-{os.getuid()}")
    return clean


def accredit(
    *arguments: str, environment: dict[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run any `accredit` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "accredit", *arguments],
        capture_output=True, text=True, check=False, timeout=180, input=given,
        env=clean_environment() | (environment or {}),
    )  # fmt: skip


def needs_port_443(service: RunningService) -> None:
    """Skip where the port that the SDKs have built in for WebSocket could not be had."""
    if service.https_port != 443:
        pytest.skip("port 443, which the SDKs have built in, needs a privilege that the tests do not have")


def symmetric_key(document: dict[str, Any], which: str = "primaryKey") -> Secret:
    """The decoded key of an enrollment as a PUT answers it."""
    return Secret(b64decode(document["attestation"]["symmetricKey"][which]))
