"""OpenSSL's CMP server, which hands out one certificate: a front signs what is ordered, and starts a server for each order.

OpenSSL's server binds every address, so it runs in a network of its own (`unshare`), and is reached by a socket file. It
judges and makes all protection, transactions and confirmations; the front alone reads CSRs, with `wire/cmp.py`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509

from accredit.wire import cmp
from support.digicert_faults import refusal
from support.fake_http import Answer, Call, FakeHTTP
from support.programs import missing, need
from support.small_issuer import Issuer, new_key, pem

REFERENCE, SECRET = "4787", "a-shared-secret"
PORT = 829
_RELAY = r"""
import fcntl, os, socket, struct, subprocess, sys, threading, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loopback:
    fcntl.ioctl(loopback, 0x8914, struct.pack("16sh", b"lo", 0x41))
port = int(sys.argv[2])
server = subprocess.Popen(sys.argv[3:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
def connected():
    while server.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.01)
    raise SystemExit("openssl ended")
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
def ended():
    sys.stdin.read()
    server.kill()
    server.wait()
    os._exit(0)
threading.Thread(target=ended, daemon=True).start()
while server.poll() is None:
    front, _ = listener.accept()
    with front, connected() as back:
        size = int.from_bytes(front.recv(4), "big")
        data = b""
        while len(data) < size:
            data += front.recv(65536)
        back.sendall(data)
        while piece := back.recv(65536):
            front.sendall(piece)
"""


class _Mock:
    """One OpenSSL server, until `end`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._socket = str(folder / "s")
        command = [
            "openssl",
            "cmp",
            "-config",
            "",
            "-port",
            str(PORT),
            "-srv_ref",
            REFERENCE,
            "-srv_secret",
            f"pass:{SECRET}",
        ]
        self._process = subprocess.Popen(
            ["unshare", "-rn", sys.executable, "-c", _RELAY, self._socket, str(PORT), *command, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self.end()
            missing("a network of its own for OpenSSL's CMP server can't be had (unshare -rn)")

    def asked(self, body: bytes) -> Answer:
        head = f"POST / HTTP/1.0\r\nContent-Type: application/pkixcmp\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        request = head + body
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(self._socket)
            connection.sendall(len(request).to_bytes(4, "big") + request)
            told = b""
            while piece := connection.recv(65_536):
                told += piece
        first, _, rest = told.partition(b"\r\n\r\n")
        return Answer(int(first.split()[1]), rest, content_type="application/pkixcmp")

    def end(self) -> None:
        self._process.communicate(timeout=60)


class CmpServer(FakeHTTP):
    """`options` are more of OpenSSL's for the orders to come; `faults` spoil them, of `digicert_faults` or "another-key"."""

    def __init__(self, *, now) -> None:
        super().__init__()
        self._now = now
        self.issuer = Issuer("Issuing", now())
        self.options: tuple[str, ...] = ()
        self.faults: list[str] = []
        self.signed: list[x509.Certificate] = []
        self.kinds: list[int] = []
        self._mocks: list[_Mock] = []
        self._folder = tempfile.TemporaryDirectory(prefix="cmp")

    async def __aenter__(self) -> Self:
        need("openssl")
        need("unshare")
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        for mock in self._mocks:
            mock.end()
        self._folder.cleanup()

    @property
    def root_pem(self) -> str:
        return pem(self.issuer.root)

    def answer(self, call: Call) -> tuple[str | None, Answer]:
        assert call.headers["content-type"] == "application/pkixcmp"
        message = cmp.parse(call.body)
        self.kinds.append(message.kind)
        if message.kind != cmp.P10CR:
            return None, (self._mocks or [self._started(self._leaf("nobody", new_key().public_key()))])[
                -1
            ].asked(call.body)
        fault = self.faults.pop(0) if self.faults else None
        spoiled = refusal(fault, self._now(), call.headers)
        if spoiled is not None:
            return fault, spoiled
        csr = x509.load_der_x509_csr(message.body)
        key = new_key().public_key() if fault == "another-key" else csr.public_key()
        leaf = self._leaf(csr.subject.rfc4514_string()[3:], key)
        self.signed.append(leaf)
        return fault, self._started(leaf).asked(call.body)

    def _leaf(self, name: str, key) -> x509.Certificate:
        now = datetime.fromtimestamp(int(self._now()), UTC)
        return self.issuer.leaf(name, key, now - timedelta(minutes=10), now + timedelta(days=30))

    def _started(self, leaf: x509.Certificate) -> _Mock:
        folder = Path(self._folder.name) / str(len(self._mocks))
        folder.mkdir()
        (folder / "leaf.pem").write_text(pem(leaf))
        (folder / "above.pem").write_text(pem(self.issuer.intermediate) + pem(self.issuer.root))
        files = ("-rsp_cert", str(folder / "leaf.pem"), "-rsp_extracerts", str(folder / "above.pem"))
        self._mocks.append(_Mock(folder, *files, *self.options))
        return self._mocks[-1]
