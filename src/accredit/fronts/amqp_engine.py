"""Qpid Proton's engine as the server's end of one AMQP connection: bytes in, links and deliveries, bytes out.

This file and `amqp_engine_link.py` alone import `proton`, which only the extra `accredit[amqp]` installs. The engine keeps the rules of
AMQP 1.0; what it leaves to its user is kept here: how many links there may be, that nobody sends without credit or more
than a message may have, that an abandoned endpoint's memory is given back, and that a queue for a peer who gives no
credit has an end. It has no socket and no clock.

AMQP 1.0 part 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proton import Collector, Connection, Event, Transport, TransportException

from accredit.fronts.amqp_engine_link import EngineLink, condition
from accredit.fronts.amqp_links import LIMIT_EXCEEDED, Failure, Link
from accredit.values import dataclass

CONTAINER = "accredit"


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """For one connection. `unsent`: messages that wait for credit on one link; `idle_s`: how long it may be silent."""

    frame_bytes: int = 64 * 1024
    sessions: int = 64
    links: int = 256
    unsent: int = 64
    idle_s: float = 240.0


class Engine:
    """One connection. Whoever feeds it takes `output` afterwards, and ends the connection when it is `finished`."""

    def __init__(self, limits: EngineLimits, attached: Callable[[Link], None]) -> None:
        """`attached` is called with each link that the peer attaches."""
        self._limits = limits
        self._attached = attached
        self._links: set[EngineLink] = set()
        self._session_count = 0
        self._processing = False
        self.opened = False
        self.hostname: str | None = None
        self.finished = False
        self.failure: str | None = None
        transport = self._transport = Transport(Transport.SERVER)
        transport.max_frame_size = limits.frame_bytes
        transport.channel_max = limits.sessions - 1
        transport.idle_timeout = limits.idle_s
        self._connection = Connection()
        self._collector = Collector()
        self._connection.collect(self._collector)
        transport.bind(self._connection)

    @property
    def links(self) -> int:
        return len(self._links)

    # Bytes.

    def feed(self, data: bytes) -> None:
        """Take what came, as far as the connection has not ended by it."""
        transport, view = self._transport, memoryview(data)
        while view and not self.finished:
            capacity = transport.capacity()
            if capacity <= 0:
                self.finished = True
                break
            try:
                transport.push(bytes(view[:capacity]))
            except TransportException:
                # What was wrong is in the event, and the farewell in the output.
                self.finished = True
            view = view[capacity:]
            self._process()

    def output(self) -> bytes:
        """What is to be sent now."""
        transport, chunks, size = self._transport, [], -1
        try:
            while (size := transport.pending()) > 0:
                chunks.append(transport.peek(size))
                transport.pop(size)
                self._process()
        except TransportException:
            # It has failed, and was told so when its bytes were taken.
            size = -1
        if size < 0:
            self.finished = True
        return b"".join(chunks)

    def tick(self, now: float) -> float | None:
        """Keep the idle times (AMQP 1.0, 2.4.5) at this monotonic second; returns when to come back."""
        due = self._transport.tick(now)
        self._process()
        return due or None

    def close(self, failure: Failure) -> None:
        """Say goodbye; the peer's answer is not waited for."""
        self._connection.condition = condition(failure)
        self._connection.open()
        self._connection.close()
        self.finished = True

    def free(self) -> None:
        """Give everything back; the engine is of no use afterwards."""
        self.finished = True
        for link in self._links:
            link.forget()
        self._links.clear()
        self._transport.unbind()
        self._connection.free()
        self._collector.release()

    # Events.

    def _process(self) -> None:
        if self._processing:
            # A step wants something said first; what that brings about comes after it.
            return
        self._processing = True
        collector = self._collector
        try:
            while (event := collector.peek()) is not None:
                step = _STEPS.get(event.type)
                if step is not None:
                    step(self, event)
                collector.pop()
        finally:
            self._processing = False

    def on_remote_open(self, event: Event) -> None:
        connection = event.connection
        connection.container = CONTAINER
        self.hostname = connection.remote_hostname or None
        connection.open()
        self.opened = True

    def on_remote_close(self, event: Event) -> None:
        if self.failure is None:
            told = event.connection.remote_condition
            self.failure = "the peer closed it" + (f": {told.name}" if told else "")
        event.connection.close()
        self.finished = True

    def on_session_open(self, event: Event) -> None:
        self._session_count += 1
        event.session.number = self._session_count
        event.session.open()

    def on_session_close(self, event: Event) -> None:
        session = event.session
        number = session.number
        for link in [link for link in self._links if link.session == number]:
            self._end(link)
        session.close()
        session.free()

    def on_link_open(self, event: Event) -> None:
        if len(self._links) >= self._limits.links:
            self.abuse(Failure(LIMIT_EXCEEDED, f"more than {self._limits.links} links"))
            return
        link = EngineLink(event.link, self.abuse, self._limits.unsent)
        self._links.add(link)
        self._attached(link)

    def on_link_close(self, event: Event) -> None:
        link = getattr(event.link, "ours", None)
        if link is not None:
            self._end(link)
        event.link.close()
        event.link.free()

    def _end(self, link: EngineLink) -> None:
        self._links.discard(link)
        link.ended()

    def on_flow(self, event: Event) -> None:
        link = getattr(event.link, "ours", None)
        if link is not None:
            link.flowed()

    def on_delivery(self, event: Event) -> None:
        link = getattr(event.link, "ours", None)
        if link is not None:
            link.moved(event.delivery)

    def on_error(self, _event: Event) -> None:
        told = self._transport.condition
        self.failure = f"{told.name}: {told.description}" if told else "the transport failed"
        self.finished = True

    def abuse(self, failure: Failure) -> None:
        """The peer broke a rule that the engine leaves to us."""
        if self.failure is None:
            self.failure = f"{failure.condition}: {failure.description}"
            self.close(failure)


_STEPS: dict[Any, Callable[[Engine, Event], None]] = {
    Event.CONNECTION_REMOTE_OPEN: Engine.on_remote_open,
    Event.CONNECTION_REMOTE_CLOSE: Engine.on_remote_close,
    Event.SESSION_REMOTE_OPEN: Engine.on_session_open,
    Event.SESSION_REMOTE_CLOSE: Engine.on_session_close,
    Event.LINK_REMOTE_OPEN: Engine.on_link_open,
    Event.LINK_REMOTE_CLOSE: Engine.on_link_close,
    Event.LINK_REMOTE_DETACH: Engine.on_link_close,
    Event.LINK_FLOW: Engine.on_flow,
    Event.DELIVERY: Engine.on_delivery,
    Event.TRANSPORT_ERROR: Engine.on_error,
}
