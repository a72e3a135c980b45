"""One link of Proton's engine (`amqp_links.Link`): what the peer sends is put together, what is sent to it waits for credit.

The engine neither minds who sends without credit nor bounds a message; both are kept here. The connection's own affairs are
`amqp_engine.py`'s.

AMQP 1.0 part 2.6 (links, credit, drain).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from proton import Condition, Terminus
from proton import Delivery as ProtonDelivery
from proton import Link as ProtonLink

from accredit.fronts.amqp_links import LIMIT_EXCEEDED, NOT_ALLOWED, TOO_LARGE, Delivery, Failure


class EngineLink:
    """One link (`amqp_links.Link`)."""

    def __init__(self, link: ProtonLink, abuse: Callable[[Failure], None], unsent: int) -> None:
        """`abuse` ends the connection; `unsent` messages may wait for credit."""
        self._abuse = abuse
        self._most_unsent = unsent
        self._link: ProtonLink | None = link
        link.ours = self
        self.incoming: bool = link.is_receiver
        terminus = link.remote_target if self.incoming else link.remote_source
        self.address: str = terminus.address or ""
        self.session: int = link.session.number
        self._received: Callable[[Delivery], None] | None = None
        self._detached: Callable[[], None] | None = None
        self._max_bytes = 0
        self._credit = 0
        self._spent = 0
        self._partial = bytearray()
        self._begun = False
        self._unsent: deque[bytes] = deque()
        self._tags = 0

    @property
    def properties(self) -> Mapping[str, Any]:
        found = self._link.remote_properties if self._link is not None else None
        return found if isinstance(found, dict) else {}

    def admit(
        self,
        *,
        received: Callable[[Delivery], None] | None = None,
        detached: Callable[[], None] | None = None,
        credit: int = 0,
        max_message_bytes: int = 0,
    ) -> None:
        link = self._link
        if link is None:
            return
        self._received, self._detached = received, detached
        self._max_bytes, self._credit = max_message_bytes, credit
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.snd_settle_mode = link.remote_snd_settle_mode
        link.rcv_settle_mode = link.remote_rcv_settle_mode
        if max_message_bytes:
            link.max_message_size = max_message_bytes
        link.open()
        if credit:
            link.flow(credit)

    def refuse(self, failure: Failure) -> None:
        link = self._link
        if link is None:
            return
        (link.target if self.incoming else link.source).type = Terminus.UNSPECIFIED
        link.open()
        self.detach(failure)

    def detach(self, failure: Failure | None) -> None:
        link, self._received, self._detached = self._link, None, None
        self._unsent.clear()
        self._partial.clear()
        if link is not None:
            if failure is not None:
                link.condition = condition(failure)
            link.close()

    # What the peer sends.

    def moved(self, delivery: ProtonDelivery) -> None:
        """A delivery of this link came, grew, or was settled by the peer."""
        link = self._link
        if link is None:
            return
        if not self.incoming:
            if not delivery.updated:
                # The engine would keep what the peer sends on a link that it receives from.
                self._abuse(Failure(NOT_ALLOWED, "a transfer from the receiver of a link"))
                return
            delivery.settle()
            self.flowed()
            return
        if not delivery.readable:
            return
        if not self._begun and link.credit <= 0:
            self._abuse(Failure("amqp:link:transfer-limit-exceeded", "a transfer without credit"))
            return
        self._begun = True
        if delivery.pending and not delivery.aborted:
            part = link.recv(delivery.pending)
            if self._received is not None and part:
                self._partial += part
        if len(self._partial) > self._max_bytes:
            self.detach(Failure(TOO_LARGE, f"a message of more than {self._max_bytes} bytes"))
        if not delivery.partial:
            self._whole(link, delivery)

    def _whole(self, link: ProtonLink, delivery: ProtonDelivery) -> None:
        self._begun = False
        link.advance()
        if delivery.aborted or self._received is None:
            self._partial.clear()
            delivery.settle()
            self.settled()
            return
        data = bytes(self._partial)
        self._partial.clear()
        self._received(_Received(self, delivery, data))

    def settled(self) -> None:
        """One delivery more is done with: its credit goes back to the peer, several at a time."""
        self._spent += 1
        if self._link is not None and self._received is not None and self._spent * 2 >= self._credit:
            self._link.flow(self._spent)
            self._spent = 0

    # What is sent to the peer.

    def send(self, data: bytes) -> None:
        if self._link is None:
            return
        self._unsent.append(data)
        self.flowed()
        if len(self._unsent) > self._most_unsent:
            self._abuse(Failure(LIMIT_EXCEEDED, "no credit for what is to be sent"))

    def flowed(self) -> None:
        """The peer may have given credit, or wants to have it spent (AMQP 1.0, 2.6.7)."""
        link = self._link
        if link is None or self.incoming:
            return
        while self._unsent and link.credit > 0 and link.unsettled < self._most_unsent:
            self._tags += 1
            delivery = link.delivery(str(self._tags))
            link.stream(self._unsent.popleft())
            link.advance()
            if link.snd_settle_mode == ProtonLink.SND_SETTLED:
                delivery.settle()
        if link.drain_mode:
            link.drained()

    # Its end.

    @property
    def alive(self) -> bool:
        return self._link is not None

    def ended(self) -> None:
        """The peer has ended the link, or its session."""
        detached = self._detached
        self.forget()
        if detached is not None:
            detached()

    def forget(self) -> None:
        if self._link is not None:
            self._link.ours = None
        self._link = self._received = self._detached = None
        self._unsent.clear()
        self._partial.clear()


class _Received:
    """One whole delivery (`amqp_links.Delivery`)."""

    __slots__ = ("_delivery", "_link", "data")

    def __init__(self, link: EngineLink, delivery: ProtonDelivery, data: bytes) -> None:
        self._link = link
        self._delivery: ProtonDelivery | None = delivery
        self.data = data

    def accept(self) -> None:
        self._settle(ProtonDelivery.ACCEPTED)

    def reject(self, failure: Failure) -> None:
        if self._delivery is not None:
            self._delivery.local.condition = condition(failure)
        self._settle(ProtonDelivery.REJECTED)

    def _settle(self, state: Any) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is not None and self._link.alive:
            delivery.update(state)
            delivery.settle()
            self._link.settled()


def condition(failure: Failure) -> Condition:
    """A failure as the engine wants it."""
    return Condition(failure.condition, failure.description or None, dict(failure.info) or None)
