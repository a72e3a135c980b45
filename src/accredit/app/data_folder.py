"""The data folder: made private, owned by one service at a time, and what a running service leaves in it for clients."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from accredit.values import replace


class CannotStart(Exception):
    """The service can't start (or a command can't read its folder); the text is one sentence that says what to do."""


class DataFolder:
    """Paths below one folder, and its exclusive lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def trust_root(self) -> Path:
        """The PEM that clients must trust."""
        return self.path / "trust-root.pem"

    @property
    def telemetry(self) -> Path:
        return self.path / "telemetry"

    @property
    def telemetry_database(self) -> Path:
        """Where messages were kept before there were segments."""
        return self.path / "telemetry.db"

    @property
    def settings(self) -> Path:
        return self.path / "accredit.toml"

    @property
    def restoring(self) -> Path:
        """Where a backup is unpacked; while it is there, the folder is not whole."""
        return self.path / ".restoring"

    @property
    def _migrated(self) -> Path:
        return self.path / "migrated.json"

    @property
    def _running(self) -> Path:
        return self.path / "running.json"

    def make(self) -> None:
        """Create the folder, readable by its owner only. Raises CannotStart."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CannotStart(
                f"The data folder {self.path} can't be made ({error.strerror}); name another with --data-dir."
            ) from None

    def lock(self) -> None:
        """Own the folder until the process ends. Raises CannotStart when another service does."""
        try:
            self._lock = (self.path / "lock").open("a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise CannotStart(
                f"Another accredit service runs on {self.path}; stop it, or name another folder with --data-dir."
            ) from None
        except OSError as error:
            raise CannotStart(
                f"The data folder {self.path} can't be written ({error.strerror}); "
                "change its owner, or name another with --data-dir."
            ) from None

    def refuse_half_restored(self) -> None:
        """Raises CannotStart where a restore was broken off."""
        if self.restoring.exists():
            raise CannotStart(
                f"A restore into {self.path} was broken off; empty the folder, and run `accredit restore` again."
            )

    def refuse_migrated(self) -> None:
        """Raises CannotStart where the state of the folder went to PostgreSQL: nothing may be issued from what is left."""
        if (moved := self.read_migrated()) is not None:
            raise CannotStart(
                f"The state of {self.path} was moved to PostgreSQL at {moved.server}: name that with ACCREDIT_DATABASE_URL, "
                f"or delete {self._migrated} to go back to what was there before."
            )

    def read_migrated(self) -> Migrated | None:
        try:
            return Migrated(**json.loads(self._migrated.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write_migrated(self, migrated: Migrated) -> None:
        """Durable when it returns."""
        with self._migrated.open("w", encoding="utf-8") as file:
            json.dump(asdict(migrated), file)
            file.flush()
            os.fsync(file.fileno())

    def refuse_contents(self) -> None:
        """Raises CannotStart where anything stands in the folder but a lock, what is half unpacked, and a file system's own."""
        there = sorted(
            {path.name for path in self.path.iterdir()} - {"lock", self.restoring.name, "lost+found"}
        )
        if there:
            raise CannotStart(
                f"The folder {self.path} is not empty (it holds {', '.join(there[:3])}); restore into a new one, "
                "named with --data-dir, or move what is there away."
            )

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_running(self, running: Running) -> None:
        self._replace(self._running, json.dumps(asdict(running)).encode())

    def read_running(self) -> Running | None:
        """What the last service to run here said of itself."""
        try:
            document: dict[str, Any] = json.loads(self._running.read_bytes())
            running = Running(**document)
            return replace(running, master_keys=tuple(running.master_keys))
        except (OSError, ValueError, TypeError):
            return None

    def write_trust_root(self, pem: bytes) -> None:
        self._replace(self.trust_root, pem)

    def _replace(self, path: Path, content: bytes) -> None:
        # Workers that share the folder write the same at the same time.
        fresh = path.with_suffix(f".{os.getpid()}.new")
        # Whatever the umask is, nobody else may say where clients go and whom they trust.
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "wb") as file:
            file.write(content)
        os.replace(fresh, path)  # noqa: PTH105 - atomic, and Path.replace is the same call


@dataclass(frozen=True, slots=True)
class Migrated:
    """Where the state of a folder has gone: host and port, and when (Unix seconds)."""

    server: str
    at: int


@dataclass(frozen=True, slots=True)
class Running:
    """Where a service answers: for `info` and for the command line's own calls. A port of 0 is not open.

    `address` is where HTTPS is reached on this machine, which need not be what the host name means here, if anything.
    `master_keys` are the ids (hex) of the keys that it has loaded, the one that seals first.
    """

    host: str
    https: int
    mqtt: int
    pid: int
    amqp: int = 0
    public: int = 0
    address: str = ""
    master_keys: tuple[str, ...] = ()
