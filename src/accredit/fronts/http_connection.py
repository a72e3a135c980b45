"""HTTP/1.1 on one connection: uvicorn's httptools protocol with the limits and deadlines that it does not have.

Each request's scope carries the client's chain in the ASGI TLS extension, and an upgrade to WebSocket goes to
`fronts/websocket.py`. Before a request is served its head, body and pace are bounded; what breaks HTTP or a bound is
answered in the error form of the APIs, after the answers that are still due on the connection, and ends it.

uvicorn's classes are not public API: its version is pinned, and a test pins the members used here.
What is served is the application's affair (`fronts/https.py`); whether a client certificate proves anything, nobody's
on this side.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from email.utils import formatdate
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from accredit.fronts.tls import TLSTransport
from accredit.fronts.websocket import Subprotocols, WebSocketAdapter, WebSocketLimits
from accredit.interfaces import Clock
from accredit.observe import log
from accredit.values import dataclass, field


@dataclass(frozen=True, slots=True)
class HTTPLimits:
    """Sizes in bytes, deadlines in seconds. `head_s` runs from a request's first byte, `body_s` from its head's end."""

    head_bytes: int = 32 * 1024
    headers: int = 100
    body_bytes: int = 1024 * 1024
    pipelined: int = 16
    head_s: float = 15.0
    body_s: float = 30.0
    idle_s: float = 75.0
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)


_FIELD_OVERHEAD_BYTES = 4
"""Colon, space, and the line's end."""


class _Phase(Enum):
    BETWEEN = 1
    HEAD = 2
    BODY = 3


class _ToLog(logging.Handler):
    """uvicorn reports a broken application through `logging`; here that is a line of the service's log."""

    def emit(self, record: logging.LogRecord) -> None:
        log.error("http-server-fault", reason=record.getMessage().strip(), exc_info=record.exc_info)


class HTTPFront:
    """What the connections of one port share; `connection` makes the front of one connection."""

    def __init__(
        self,
        application: ASGIApp,
        clock: Clock,
        refusal: Callable[[int, str], bytes],
        *,
        websockets: Mapping[str, Callable[[], asyncio.BaseProtocol]] | None = None,
        limits: HTTPLimits | None = None,
    ) -> None:
        """`refusal` renders (HTTP status, sentence) as a JSON body; `websockets` maps a subprotocol to its front."""
        self.limits = limits if limits is not None else HTTPLimits()
        self.websockets: Subprotocols = {name.lower(): front for name, front in (websockets or {}).items()}
        self.refusal = refusal
        self.state = ServerState()
        self.config = Config(
            cast("Any", application),
            interface="asgi3",
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self.config.load()
        self.logger = logging.Logger("http", logging.WARNING)  # noqa: LOG001 - nobody else's handlers are wanted
        self.logger.addHandler(_ToLog())
        self._clock = clock
        self._dated = 0

    def connection(self) -> HTTPConnection:
        return HTTPConnection(self)

    def date(self) -> None:
        """Bring the answers' `date` header up to date (RFC 9110 6.6.1)."""
        now = int(self._clock.now())
        if now != self._dated:
            self._dated = now
            self.state.default_headers = [(b"date", formatdate(now, usegmt=True).encode())]


class HTTPConnection(HttpToolsProtocol):
    """One connection and the requests on it, one after the other."""

    def __init__(self, front: HTTPFront) -> None:
        super().__init__(front.config, front.state, {}, asyncio.get_running_loop())
        self.logger = front.logger
        self._front = front
        self._limits = front.limits
        self._extensions: dict[str, Any] = {}
        self._phase = _Phase.BETWEEN
        self._head_bytes = 0
        self._body_bytes = 0
        self._bodiless_bytes = 0
        self._deadline: float | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._refused: tuple[int, str] | None = None
        self._last_words: bytes | None = None
        self._deaf = False
        self._draining = False

    # The transport's side.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        chain = transport.get_extra_info("peer_chain")
        # The bindings are for few calls, so that they are made when they are asked for.
        bindings = partial(transport.get_extra_info, "channel_bindings", ())
        self._extensions = {"tls": {"client_cert_chain_der": chain, "channel_bindings": bindings}}
        self._await(self._limits.head_s)
        self._look_at_the_clock()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._phase is _Phase.BODY:
            self._bodiless_bytes += len(data)
        else:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(*(self._refused or (400, "The request is not well-formed HTTP/1.1.")))
            return
        if self._phase is _Phase.HEAD and self._head_bytes > self._limits.head_bytes:
            self._refuse(431, f"The request head is longer than {self._limits.head_bytes} bytes.")
        elif self._phase is _Phase.BODY and self._bodiless_bytes > self._limits.head_bytes:
            # What a chunked body may have beside its bytes: extensions, and fields behind it (RFC 9112, 7.1).
            self._refuse(431, f"The body's trailer is longer than {self._limits.head_bytes} bytes.")

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client may close its half once the request is out; the answers that are due are still sent."""
        if self._phase is not _Phase.BETWEEN or not self._answer_is_due():
            return False
        self._answer_and_close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._extensions = {}
        super().connection_lost(exc)

    def drain(self) -> None:
        """Answer what has begun to arrive, then close."""
        self._draining = True
        if self._phase is _Phase.BETWEEN and not self._answer_is_due():
            self.transport.close()
        else:
            self._answer_and_close()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._phase = _Phase.HEAD
        self._await(self._limits.head_s)

    def on_headers_complete(self) -> None:
        limits = self._limits
        if len(self.headers) > limits.headers:
            self._object(431, f"The request has more than {limits.headers} header fields.")
        size = len(self.url)
        for name, value in self.headers:
            # A head may have come whole in one piece, before its bytes were counted.
            size += len(name) + len(value) + _FIELD_OVERHEAD_BYTES
            if name == b"content-length" and int(value) > limits.body_bytes:
                self._object(413, f"The body is larger than {limits.body_bytes} bytes.")
        if size > limits.head_bytes:
            self._object(431, f"The request head is longer than {limits.head_bytes} bytes.")
        if len(self.pipeline) >= limits.pipelined:
            self._object(400, f"More than {limits.pipelined} requests were sent ahead.")
        self._front.date()
        before = self.cycle
        super().on_headers_complete()
        self._phase = _Phase.BODY
        self._head_bytes = self._body_bytes = self._bodiless_bytes = 0
        self._await(limits.body_s)
        if self._draining and self.cycle is not before:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._bodiless_bytes = 0
        if self._body_bytes > self._limits.body_bytes:
            self._object(413, f"The body is larger than {self._limits.body_bytes} bytes.")
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._phase = _Phase.BETWEEN
        self._await(None if self._answer_is_due() else self._limits.idle_s)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._last_words is not None:
            self._end()
        elif self._phase is _Phase.BETWEEN:
            self._await(self._limits.idle_s)

    # WebSocket.

    def _should_upgrade_to_ws(self) -> bool:
        return bool(self._front.websockets)

    def _upgrade(self, rest: bytes) -> None:
        self._deaf = True
        if not self._should_upgrade():
            # RFC 9110 7.8: an upgrade that is not known is ignored. The parser ends here all the same.
            self._answer_and_close()
            return
        if self._answer_is_due():
            self._refuse(400, "An upgrade cannot be sent ahead of an answer.")
            return
        self._disarm()
        self.connections.discard(cast("Any", self))
        # The parser holds this object, and the connection may live for months.
        self.parser = None  # type: ignore[assignment]
        lines = [
            self.scope["method"].encode(),
            b" ",
            self.url,
            b" HTTP/",
            self.scope["http_version"].encode(),
        ]
        for name, value in self.headers:
            lines += [b"\r\n", name, b": ", value]
        adapter = WebSocketAdapter(self._front.websockets, self._limits.websocket)
        adapter.upgrade(cast("TLSTransport", self.transport), b"".join([*lines, b"\r\n\r\n"]))
        if rest and not adapter.is_closing():
            adapter.data_received(rest)

    # Deadlines: one timer a connection, looked at when it fires, so that a request moves only a number.

    def _await(self, seconds: float | None) -> None:
        self._deadline = None if seconds is None else self.loop.time() + seconds

    def _disarm(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _look_at_the_clock(self) -> None:
        limits = self._limits
        # No deadline set after this look can fall before the next one.
        pause = min(limits.head_s, limits.body_s, limits.idle_s)
        if self._deadline is not None:
            left = self._deadline - self.loop.time()
            if left <= 0:
                self._tick = None
                self.overdue()
                return
            pause = min(pause, left)
        self._tick = self.loop.call_later(pause, self._look_at_the_clock)

    def overdue(self) -> None:
        """The peer did not send what is due: half a request is answered 408, silence with the end."""
        if self._phase is _Phase.BETWEEN:
            self.transport.close()
        else:
            part = "head" if self._phase is _Phase.HEAD else "body"
            self._refuse(408, f"The rest of the request's {part} did not come in time.")

    # Refusals.

    def _object(self, status: int, sentence: str) -> None:
        """Stop the parser from inside one of its callbacks."""
        self._refused = (status, sentence)
        raise _Objection

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer, in its turn, the request that is being received, hear nothing more, and close."""
        self._deaf = True
        self._deadline = None
        cycle = self.cycle
        due = self._answer_is_due()
        self._last_words = self._rendered(status, sentence)
        if self._phase is _Phase.BODY and due:
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            else:
                # The application has this request already: it learns that the client is gone.
                cycle.disconnected = True
                cycle.message_event.set()
                self._last_words = b"" if cycle.response_started else self._last_words
                due = False
        elif self._phase is _Phase.BODY:
            self._last_words = b""
        if not due:
            self._end()

    def _end(self) -> None:
        self.transport.write(self._last_words or b"")
        cast("TLSTransport", self.transport).linger()

    def _answer_and_close(self) -> None:
        """The newest request is the last on this connection."""
        if self._answer_is_due():
            self.cycle.keep_alive = False

    def _answer_is_due(self) -> bool:
        newest: RequestResponseCycle | None = self.cycle
        return newest is not None and not newest.response_complete

    def _rendered(self, status: int, sentence: str) -> bytes:
        body = self._front.refusal(status, sentence)
        self._front.date()
        fields = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        head = STATUS_LINE[HTTPStatus(status)] + b"".join(b"%b: %b\r\n" % each for each in fields)
        return head + b"\r\n" + body


class _Objection(Exception):
    """Raised through httptools, which reports it as its own error."""
