"""What stands between a connector and a real CA: an HTTPS server on loopback that passes every call on, or spoils one.

A fault is queued and spoils the next call that makes the CA sign (`signs` says which those are); every other call goes
through. What was passed on is remembered. It speaks TLS with the tests' own root, so that `trustAnchors` must carry that too.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import NamedTemporaryFile
from typing import Any, Self
from urllib.parse import urlsplit

from support.tls_service import server_identity, tls_root

Signs = Callable[[str, str, bytes], bool]
"""Of a call's method, path and body: whether it makes the CA sign."""

HUGE_BYTES = 100_000_000
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

LOST = frozenset({"drop-after", "html", "huge", "half-a-pem", "error-500"})
"""The CA has signed, but what it answered can't be used."""

UNSIGNED = frozenset({"unavailable", "redirect"})
"""The call never reached the CA."""


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class CAProxy:
    """A context manager; `url` is its address for as long as it lasts."""

    def __init__(self, upstream: str, signs: Signs, trust_pem: str = "") -> None:
        self.upstream = urlsplit(upstream)
        self.signs = signs
        self.faults: list[str] = []
        self.calls: list[Call] = []
        self.earlier: bytes | None = None
        self.trust = ssl.create_default_context(cadata=trust_pem) if trust_pem else None
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @staticmethod
    def trust_pem() -> str:
        """What its own TLS chains to."""
        return tls_root().pem().decode()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Listen, on the same port as before."""
        if self._server is not None:
            return
        proxy = self

        class Handler(_Handler):
            through = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._server.socket = _context().wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def down(self) -> None:
        """Refuse connections. Those that are open stay."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def settle(self) -> None:
        """As it was at first."""
        self.faults.clear()
        self.calls.clear()
        self.up()

    def issues(self, call: Call, answer: bytes) -> bool:
        """Whether this is what the CA answers with a certificate in it."""
        return _CERTIFICATE.search(answer) is not None

    def passed(self, call: Call) -> tuple[int, dict[str, str], bytes]:
        """The CA's own answer."""
        host = self.upstream.hostname or ""
        port = self.upstream.port or 443
        made: http.client.HTTPConnection
        if self.upstream.scheme == "https":
            made = http.client.HTTPSConnection(host, port, context=self.trust, timeout=60)
        else:
            made = http.client.HTTPConnection(host, port, timeout=60)
        try:
            kept = {name: value for name, value in call.headers.items() if name not in _HOP}
            made.request(call.method, call.path, call.body or None, kept)
            answer = made.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            return answer.status, headers, answer.read()
        finally:
            made.close()


class _Handler(BaseHTTPRequestHandler):
    through: CAProxy
    protocol_version = "HTTP/1.1"
    timeout = 20

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        call = Call(self.command, self.path, headers, body)
        proxy = self.through
        proxy.calls.append(call)
        signs = proxy.signs(call.method, call.path, call.body)
        fault = proxy.faults.pop(0) if signs and proxy.faults else None
        if fault == "unavailable":
            return self._answer(503, {"Retry-After": "17"}, b"<h1>maintenance</h1>")
        if fault == "redirect":
            return self._answer(302, {"Location": "https://localhost:1/elsewhere"}, b"")
        status, told, answer = proxy.passed(call)
        wants_pem = fault in {"half-a-pem", "other-key"}
        if fault is not None and (status >= 400 or (wants_pem and not proxy.issues(call, answer))):
            # It said no (a nonce was used up), or it answers in several steps and this one has no certificate.
            proxy.faults.insert(0, fault)
            fault = None
        match fault:
            case "drop-after":
                self.close_connection = True
                return None
            case "html":
                return self._answer(status, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
            case "huge":
                return self._huge(status)
            case "error-500":
                return self._answer(500, {}, b"Something went wrong.")
            case "half-a-pem":
                answer = _halved(answer)
            case "other-key":
                assert proxy.earlier is not None, "nothing was signed before"
                answer = proxy.earlier
        if fault is None and proxy.issues(call, answer):
            proxy.earlier = answer
        return self._answer(status, told, answer)

    do_GET = do_POST = do_PUT = do_HEAD = do_LIST = _serve  # noqa: N815 - the library's names

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _huge(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(HUGE_BYTES))
        self.end_headers()
        block = b"x" * 1_000_000
        for _ in range(HUGE_BYTES // len(block)):
            self.wfile.write(block)


def _halved(answer: bytes) -> bytes:
    """The answer with each certificate cut in the middle: its text is cut, whether it stands in JSON or not.

    What holds none in PEM is cut itself.
    """
    if _CERTIFICATE.search(answer) is None:
        assert len(answer) > 500, answer
        return answer[: len(answer) // 2]
    return _CERTIFICATE.sub(lambda found: found[0][: len(found[0]) // 2].rstrip(b"\\"), answer)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(server_identity().secret().reveal().decode())
        file.flush()
        context.load_cert_chain(file.name)
    return context
