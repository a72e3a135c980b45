"""Azure's Node SDKs, unmodified, in one Node process per role; a test calls them by name (tests/node/clients.js).

`scripts/test-needs` installs them. Where they are missing the test is skipped, in continuous integration failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest

from support.programs import need
from support.running_service import RunningService, clean_environment, needs_port_443

FOLDER = Path(__file__).parents[1] / "node"

PATIENCE_S = 60.0


class NodeError(Exception):
    """What the SDK's promise was rejected with; `members` are the JavaScript error's own."""

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__(f"{members['name']}: {members['message']}")
        self.members = members

    @property
    def name(self) -> str:
        return str(self.members["name"])


def needs_node_clients() -> None:
    """Skip where Node or the SDKs are not installed; with CI=true that is a failure."""
    need("node")
    if (FOLDER / "node_modules" / ".package-lock.json").exists():
        return
    reason = "Azure's Node SDKs are not installed: run scripts/test-needs"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def node_version(package: str) -> str:
    """The version of one of the SDKs that is locked."""
    return str(json.loads((FOLDER / "package.json").read_text())["dependencies"][package])


class NodeClient:
    """A role (`device`, `service` or `registry`) that trusts the service's root. Calls may overlap, from any thread."""

    def __init__(self, role: str, service: RunningService) -> None:
        needs_node_clients()
        needs_port_443(service)
        self.service = service
        self._numbers = count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._ended = ""
        self._errors_file = service.folder / f"node-{role}.log"
        with self._errors_file.open("ab") as errors:
            self._process = subprocess.Popen(
                # No warning about an IP address as TLS server name: tests have no other names for their services.
                ["node", "--no-deprecation", str(FOLDER / "clients.js"), role],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1,
                env=clean_environment() | {"NODE_EXTRA_CA_CERTS": str(service.trust_root)},
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def call(self, name: str, **given: Any) -> Any:
        """The result of a call of the role. Raises NodeError."""
        return self.begin(name, **given).result(PATIENCE_S)

    def begin(self, name: str, **given: Any) -> Future[Any]:
        """The same, under way."""
        promise: Future[Any] = Future()
        # Under way it can't be taken back, and the answer finds it as it was.
        promise.set_running_or_notify_cancel()
        with self._lock:
            assert not self._ended, self._ended
            number = next(self._numbers)
            self._waiting[number] = promise
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"id": number, "call": name, "with": given}) + "\n")
            self._process.stdin.flush()
        return promise

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=10)

    def _read(self) -> None:
        """Give each answer to who waits for it; at the end, the end."""
        assert self._process.stdout is not None
        uncaught = ""
        with self._process.stdout as lines:
            for line in lines:
                answer = json.loads(line)
                if answer["id"] is None:
                    uncaught = str(answer["error"])
                    continue
                promise = self._waiting.pop(answer["id"])
                if "error" in answer:
                    promise.set_exception(NodeError(answer["error"]))
                else:
                    promise.set_result(answer["result"])
        with self._lock:
            self._ended = f"Node ended: {uncaught or self._errors_file.read_text()[-2000:]}"
        for promise in self._waiting.values():
            promise.set_exception(AssertionError(self._ended))
