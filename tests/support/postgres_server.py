"""A real PostgreSQL of the test session: Debian's, in a folder of its own, as the user `postgres` where we are root.

Its own collation is English, so that a text that leaves order to the database is noticed. `fsync` is off: a process that
is killed loses nothing by that, only a machine that loses its power would.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.ca_servers import free_port
from support.programs import missing
from support.tls_service import server_identity

_SETTINGS = """
unix_socket_directories = ''
ssl = on
fsync = off
shared_buffers = 16MB
max_connections = 60
log_min_messages = warning
"""


def _programs() -> Path:
    """The newest server that Debian has installed, or the one of the path."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3])
    )
    found = str(versions[-1]) if versions else shutil.which("postgres")
    if found is None:
        missing("PostgreSQL's server is not installed")
    return Path(found).parent


class PostgresServer:
    """`url` leads to its database `accredit`, with a password that a test can search for. For TLS it has `support.tls_service`'s identity."""

    PASSWORD = "a-Pass/word@that:is searched for"

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        """It listens at `address`, and takes connections from the same 256 addresses."""
        self._folder = folder
        self.address = address
        self._programs = _programs()
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        identity = server_identity()
        (folder / "password").write_text(self.PASSWORD)
        (folder / "password").chmod(0o644)
        self._run(
            "initdb", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "--locale-provider=icu",
            "--icu-locale=en", "--auth=scram-sha-256", "--username=accredit", f"--pwfile={folder / 'password'}",
        )  # fmt: skip
        self._put("server.crt", identity.certificate.public_bytes(Encoding.PEM))
        self._put("server.key", identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"port = {self.port}\nlisten_addresses = '{address}'\n{_SETTINGS}")
        with (folder / "data" / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {ip_network(f'{address}/24', strict=False)} scram-sha-256\n")
        self.start()
        self.execute("CREATE DATABASE accredit", database="postgres")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "accredit") -> str:
        user = f"accredit:{quote(self.PASSWORD, safe='')}"
        return f"postgresql://{user}@{self.address}:{self.port}/{database}?sslmode=disable"

    def new_database(self) -> str:
        """The URL of an empty one."""
        self._databases += 1
        name = f"accredit{self._databases}"
        self.execute(f"CREATE DATABASE {name}", database="postgres")
        return self.url(name)

    def emptied(self) -> str:
        """The URL of the database `accredit`, with nothing in its tables; the first to open it makes them."""
        tables = self.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('schema_steps', 'epochs')"
        )
        self.execute(*(f"DELETE FROM {name}" for (name,) in tables), "SELECT 1")
        return self.url()

    def execute(self, *texts: str, database: str = "accredit") -> list[tuple[Any, ...]]:
        """The rows of the last one."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for text in texts[:-1]:
                connection.execute(text)
            cursor = connection.execute(texts[-1])
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Return once it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data"], stdout=log, stderr=log, **self._as
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, "PostgreSQL takes no connections"
            time.sleep(0.05)

    def kill(self) -> None:
        """As when the power fails: nothing is finished."""
        assert self._process is not None
        # The processes of the connections see their parent die, and end; their memory must be gone before a new start.
        children = subprocess.run(
            ["ps", "--ppid", str(self._process.pid), "-o", "pid="],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        for pid in [str(self._process.pid), *children]:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(60)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError((self._folder / "log").read_text()[-2000:])
        try:
            self.execute("SELECT 1", database="postgres")
        except psycopg.OperationalError:
            return False
        return True

    def _put(self, name: str, content: bytes) -> None:
        path = self._folder / "data" / name
        path.write_bytes(content)
        path.chmod(0o600)
        if self._as:
            os.chown(path, self._as["user"], self._as["group"])

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *arguments],
            capture_output=True, text=True, check=False, **self._as,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@contextmanager
def running(address: str = "127.0.0.1") -> Iterator[PostgresServer]:
    # Its own folder: the session's can't be entered by another user.
    folder = Path(tempfile.mkdtemp(prefix="accredit-postgresql-"))
    server = None
    try:
        server = PostgresServer(folder, address)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder)
