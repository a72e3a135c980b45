"""What the rooms above the AMQP engine see of it: links, deliveries, failures, and who the peer is.

The conversations (`amqp_dps.py`, `amqp_hub.py`) are written against these, so that they know no engine, and none is
loaded where AMQP is not served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from accredit.domain.errors import AccreditError, Unauthenticated
from accredit.domain.evidence import Evidence, NothingShown
from accredit.hub.identities import Admission
from accredit.values import dataclass, field
from accredit.wire import refusals
from accredit.wire.amqp_addresses import HubUser, Registration

STOPS = "the service stops"


@dataclass(frozen=True, slots=True)
class Failure:
    """An AMQP error (AMQP 1.0, 2.8.14)."""

    condition: str
    description: str = ""
    info: Mapping[str, int] = field(default_factory=dict)


NOT_ALLOWED = "amqp:not-allowed"
NOT_FOUND = "amqp:not-found"
NOT_IMPLEMENTED = "amqp:not-implemented"
DECODE_ERROR = "amqp:decode-error"
UNAUTHORIZED = "amqp:unauthorized-access"
LIMIT_EXCEEDED = "amqp:resource-limit-exceeded"
FORCED = "amqp:connection:forced"
STOLEN = "amqp:link:stolen"
TOO_LARGE = "amqp:link:message-size-exceeded"


def failure(error: AccreditError, description: str | None = None) -> Failure:
    """A refusal as AMQP says it; Azure's SDKs look for the seconds under one spelling of the name or the other."""
    wire = refusals.on_the_wire(error)
    return of_wire(wire, error.message if description is None else description)


def of_wire(wire: refusals.Wire, description: str) -> Failure:
    after = wire.retry_after_s
    info = {} if after is None else {"retry-after": after, "Retry-After": after}
    return Failure(wire.amqp, description, info)


class Delivery(Protocol):
    """One message that the peer sent; it counts against the link's credit until it is settled."""

    data: bytes

    def accept(self) -> None: ...

    def reject(self, failure: Failure) -> None: ...


class Link(Protocol):
    """A link that the peer attached. What is done to one that is gone has no effect."""

    incoming: bool
    """Whether the peer sends on it."""

    address: str
    """Its target where the peer sends, else its source; "" for none."""

    session: int
    """Links of one session have the same number."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """What the peer said of the link, by name."""
        ...

    def admit(
        self,
        *,
        received: Callable[[Delivery], None] | None = None,
        detached: Callable[[], None] | None = None,
        credit: int = 0,
        max_message_bytes: int = 0,
    ) -> None:
        """Attach it too. `received` hears each whole message, `detached` once that the peer has ended the link."""

    def refuse(self, failure: Failure) -> None:
        """Attach and detach it at once, as AMQP wants a refusal told."""

    def send(self, data: bytes) -> None:
        """One encoded message, now or when the peer gives credit."""

    def detach(self, failure: Failure | None) -> None: ...


_NOTHING = NothingShown()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as TLS and SASL showed it. `evidence` may be the refusal of a token that can't be read.

    `admission` is of a hub's device that proved itself in SASL.
    """

    source: str
    chain: tuple[bytes, ...] = ()
    user: Registration | HubUser | None = None
    evidence: Evidence | Unauthenticated = _NOTHING
    admission: Admission | None = None


class AmqpControl(Protocol):
    """What a conversation may do to its connection."""

    peer: Peer

    @property
    def host(self) -> str | None:
        """The host name of the peer's Open; None where it names none."""
        ...

    def used(self) -> None:
        """Something was asked: the connection is not idle."""

    def first(self) -> None:
        """What was said so far goes before what is said next: the engine by itself puts messages before settlements."""

    def flush(self) -> None:
        """Send what was said outside of the handling of the peer's own bytes."""

    def close(self, failure: Failure) -> None:
        """End the connection; one log line says why."""


class Conversation(Protocol):
    """What goes on over a connection's links to one service. Called from the event loop; must not raise."""

    def attach(self, link: Link, address: Any) -> None:
        """Admit or refuse it, now or later."""

    @property
    def proven(self) -> bool:
        """Whether a device has proven itself here: its connection may then be idle as long as its proof is good."""
        ...

    @property
    def busy(self) -> bool:
        """Whether something is unanswered."""
        ...

    def drain(self) -> None:
        """Finish what is in hand, then close the connection."""

    def closed(self) -> None:
        """Exactly once, when the connection is gone."""
