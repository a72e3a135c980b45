"""One AMQP connection at the server: headers, the login, then the engine; with the deadlines and limits of a stranger.

A client that shows a certificate, or that speaks to a hub by tokens, starts without SASL; others put it before AMQP. Which
service a link is for, its address says: DPS (`fronts/amqp_dps.py`) or the hub (`fronts/amqp_hub.py`). This file knows no
message and no credential. It runs over any asyncio transport that tells `peername` and `peer_chain`.

AMQP 1.0 parts 2.2 (version negotiation) and 5.3 (SASL).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from accredit.domain.evidence import PresentedChain
from accredit.fronts.amqp_links import (
    LIMIT_EXCEEDED,
    NOT_FOUND,
    STOPS,
    AmqpControl,
    Conversation,
    Failure,
    Link,
    Peer,
)
from accredit.fronts.amqp_login import Login, Mechanism
from accredit.observe import log
from accredit.values import dataclass, replace
from accredit.wire import amqp_addresses as addresses
from accredit.wire.amqp_sasl import AMQP_HEADER, SASL_HEADER

MAX_UNREAD_BYTES = 512 * 1024
"""What may be written to a peer whose transport asked for a pause before it is cut off."""

MAX_REFUSED_LINKS = 32

EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"
"""AMQP 1.0, 2.4.5: it says nothing but that its sender is there."""

_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the peer, in seconds.

    `login_s` is from the connection to the Open (a TPM takes its time). `idle_s` is for a connection over which nothing is
    asked and nobody has proven himself; `certificate_s` for one whose peer showed a certificate, which is judged at the
    first link: a hub's device may attach that long after it has connected.
    """

    login_s: float = 60.0
    idle_s: float = 300.0
    certificate_s: float = 3_600.0


class Engine(Protocol):
    """The part of `amqp_engine.Engine` that a connection uses."""

    opened: bool
    hostname: str | None
    finished: bool
    failure: str | None

    def feed(self, data: bytes) -> None: ...

    def output(self) -> bytes: ...

    def tick(self, now: float) -> float | None: ...

    def close(self, failure: Failure) -> None: ...

    def free(self) -> None: ...


class Opens(Protocol):
    """A service that links may lead to."""

    def open(self, control: AmqpControl) -> Conversation: ...


@dataclass(frozen=True, slots=True)
class AmqpDoors:
    """What every connection shares: the services, the ways to log in, and the maker of engines."""

    dps: Opens
    hub: Opens
    mechanisms: Mapping[str, Mechanism]
    engine: Callable[[Callable[[Link], None]], Engine]


class AmqpConnection(asyncio.Protocol):
    """The protocol of one connection; also the `AmqpControl` of its conversations."""

    def __init__(self, doors: AmqpDoors, patience: Patience | None = None) -> None:
        self._doors = doors
        self._patience = Patience() if patience is None else patience
        self._loop = asyncio.get_running_loop()
        self.peer = Peer("")
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._login: Login | None = None
        self._logged_in = False
        self._engine: Engine | None = None
        self._conversations: dict[Opens, Conversation] = {}
        self._said = b""
        self._answered = False
        self._refused = 0
        self._timer: asyncio.TimerHandle | None = None
        self._feeding = False
        self._choked = False
        self._unread_bytes = 0
        self._used_at = 0.0
        self._over = False

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        chain = tuple(transport.get_extra_info("peer_chain") or ())
        self.peer = Peer(address[0] if address else "", chain)
        self._timer = self._loop.call_later(self._patience.login_s, self._late)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            self._take(data)
        except Exception:  # noqa: BLE001 - a defect ends this connection, not the listener
            log.exception("amqp-connection-broken", source=self.peer.source)
            self._end()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - lost is lost
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._login is not None:
            self._login.abandon()
        conversations, self._conversations = self._conversations, {}
        for conversation in conversations.values():
            conversation.closed()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.free()

    def pause_writing(self) -> None:
        self._choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        self._unread_bytes = 0
        if not self._over:
            self._transport.resume_reading()
            self.flush()

    def drain(self) -> None:
        """Let the conversations finish what is in hand; with nothing in hand, close."""
        busy = [each for each in self._conversations.values() if each.busy]
        for conversation in busy:
            conversation.drain()
        if not busy:
            self.close(Failure("amqp:connection:forced", STOPS))

    # Bytes.

    def _take(self, data: bytes) -> None:
        engine = self._engine
        if engine is not None:
            self._feed(engine, data)
        elif self._login is not None and not self._logged_in:
            self._login.receive(data)
        else:
            self._header(data)

    def _header(self, data: bytes) -> None:
        """Eight bytes say what follows; before and after the login the engine's are the same."""
        self._buffer += data
        if len(self._buffer) < len(AMQP_HEADER) and AMQP_HEADER[:4].startswith(self._buffer[:4]):
            return
        header, rest = bytes(self._buffer[:8]), bytes(self._buffer[8:])
        self._buffer.clear()
        if header == AMQP_HEADER:
            self._begin(header + rest)
        elif header == SASL_HEADER and self._login is None:
            self._login = Login(self._doors.mechanisms, self.peer, self._write, self._entered)
            self._login.offer()
            if rest:
                self._login.receive(rest)
        else:
            # AMQP 1.0, 2.2: answer with a header that is spoken here, and close.
            log.info("amqp-closed", source=self.peer.source, reason="a protocol that is not spoken here")
            self._write(AMQP_HEADER if self._logged_in else SASL_HEADER)
            self._end()

    def _entered(self, peer: Peer | None) -> None:
        """The login has ended; what came behind it is the next protocol's."""
        if peer is None:
            self._end()
            return
        assert self._login is not None
        self.peer = peer
        self._logged_in = True
        rest = self._login.rest()
        if rest:
            self.data_received(rest)

    def _begin(self, data: bytes) -> None:
        if not self._logged_in and self.peer.chain:
            self.peer = replace(self.peer, evidence=PresentedChain(self.peer.chain))
        self._engine = self._doors.engine(self._attached)
        self._feed(self._engine, data)

    def _feed(self, engine: Engine, data: bytes) -> None:
        opened = engine.opened
        self._feeding = True
        try:
            engine.feed(data)
        finally:
            self._feeding = False
        if engine.opened and not opened:
            self._watch()
        self.flush()
        if not self._answered and data != EMPTY_FRAME:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Say something to what needs no answer, so that TCP's acknowledgement travels at once.

        Node's rhea leaves Nagle's algorithm on: each of its flows and settlements would hold its next frame back until
        this kernel's delayed acknowledgement, 40 ms later, twice in each registration.
        """
        if (
            not self._over
            and not self._choked
            and not any(each.busy for each in self._conversations.values())
        ):
            self._transport.write(EMPTY_FRAME)

    def first(self) -> None:
        if self._engine is not None and not self._over:
            self._said += self._engine.output()

    def flush(self) -> None:
        engine = self._engine
        if engine is None or self._feeding or self._over or self._choked:
            return
        said, self._said = self._said, b""
        said += engine.output()
        self._answered = bool(said)
        self._write(said)
        if engine.finished:
            if engine.failure is not None:
                log.info("amqp-closed", source=self.peer.source, reason=engine.failure[:_SHOWN_CHARS])
            self._end()

    def _write(self, data: bytes) -> None:
        if self._over or not data:
            return
        if self._choked:
            self._unread_bytes += len(data)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self._over = True
                self._transport.abort()
                return
        self._transport.write(data)

    def close(self, failure: Failure) -> None:
        if self._over:
            return
        log.info("amqp-closed", source=self.peer.source, reason=failure.description or failure.condition)
        if self._engine is not None:
            self._engine.close(failure)
            self._choked = False
            self._write(self._said + self._engine.output())
        self._end()

    def _end(self) -> None:
        """Our last words are out; what the peer still sends is dropped, so that it gets to read them."""
        if self._over:
            return
        self._over = True
        linger = getattr(self._transport, "linger", None)
        if linger is not None:
            linger()
        else:
            self._transport.close()

    # Links.

    def _attached(self, link: Link) -> None:
        address = addresses.parse(link.address)
        if address is None:
            self._refuse(link)
            return
        opens = self._doors.dps if isinstance(address, addresses.Registration) else self._doors.hub
        conversation = self._conversations.get(opens)
        if conversation is None:
            conversation = self._conversations[opens] = opens.open(self)
        conversation.attach(link, address)

    def _refuse(self, link: Link) -> None:
        self._refused += 1
        if self._refused > MAX_REFUSED_LINKS:
            # Not from within the engine's own step.
            self._loop.call_soon(self.close, Failure(LIMIT_EXCEEDED, "too many links to nowhere"))
            return
        if self._refused == 1:
            shown = link.address[:_SHOWN_CHARS]
            log.info("amqp-link-refused", source=self.peer.source, rule="amqp-address", evidence=shown)
        link.refuse(Failure(NOT_FOUND, "There is no such address."))

    # Deadlines.

    def _late(self) -> None:
        self._timer = None
        if not self._over:
            log.info("amqp-closed", source=self.peer.source, reason="nothing came in time")
            self._end()

    @property
    def host(self) -> str | None:
        return None if self._engine is None else self._engine.hostname

    def used(self) -> None:
        self._used_at = self._loop.time()

    def _watch(self) -> None:
        """From the Open on: the engine's idle times, and that the connection is used by somebody who may."""
        if self._timer is not None:
            self._timer.cancel()
        self.used()
        self._tick()

    def _tick(self) -> None:
        self._timer = None
        engine = self._engine
        if engine is None or self._over:
            return
        if any(each.busy or each.proven for each in self._conversations.values()):
            self.used()
        patience = self._patience
        allowed = self._used_at + (patience.certificate_s if self.peer.chain else patience.idle_s)
        now = self._loop.time()
        if now >= allowed:
            self.close(Failure(LIMIT_EXCEEDED, "nothing came in time"))
            return
        due = engine.tick(now)
        self.flush()
        if not self._over:
            self._timer = self._loop.call_at(min(due or allowed, allowed), self._tick)
