"""One device of the embedded hub on an AMQP connection: its links, the life of its proof, its messages on their way.

Messages are settled in the order in which they came, when they are durable; a batch with its last one. What can't be read
or kept is rejected by itself. Who the device is was judged before (`amqp_hub.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from accredit.domain.errors import Malformed
from accredit.fronts import amqp_telemetry
from accredit.fronts.amqp_links import (
    DECODE_ERROR,
    TOO_LARGE,
    AmqpControl,
    Delivery,
    Failure,
    Link,
    failure,
)
from accredit.fronts.mqtt_hub import HubConversations
from accredit.hub import messages
from accredit.hub.appending import Appending
from accredit.hub.identities import Admission
from accredit.hub.sessions import Session
from accredit.observe import log
from accredit.wire.amqp_addresses import Purpose
from accredit.wire.amqp_types import AmqpError

CREDIT = 100
"""Messages of one link that may be unsettled; C#'s SDK sends a thousand when it is let, which are stored no faster."""

MAX_DELIVERY_BYTES = messages.MAX_MESSAGE_BYTES + 64 * 1024
"""A message and what AMQP wraps it in; more ends the link, as the attach has announced."""

_LOOK_AGAIN_S = 3_600.0


class AmqpDevice:
    def __init__(
        self,
        hub: HubConversations,
        control: AmqpControl,
        admission: Admission,
        session: Session,
        left: Callable[[AmqpDevice], None],
    ) -> None:
        """`left` is called once nothing holds the device here any more."""
        self.device_id = admission.device_id
        self._hub = hub
        self._control = control
        self._admission = admission
        self._session = session
        self._left = left
        self._links: set[Link] = set()
        self._unsettled = 0
        self._settled: Callable[[], None] | None = None
        self._appending: Appending[Delivery] = Appending(hub.in_flight, self._accept, self._failed)
        self._timer = self._look_again()

    @property
    def busy(self) -> bool:
        return self._unsettled > 0

    def when_settled(self, then: Callable[[], None]) -> None:
        """Call `then` when nothing of the device is unsettled any more."""
        self._settled = then

    def take(self, link: Link, purpose: Purpose) -> None:
        """Admit one of the device's links."""
        self._links.add(link)
        detached = partial(self._detached, link)
        if purpose is Purpose.EVENTS:
            received = self._received
            link.admit(
                received=received, detached=detached, credit=CREDIT, max_message_bytes=MAX_DELIVERY_BYTES
            )
            return
        log.info(
            "hub-link-silent",
            deviceId=self.device_id.text,
            reason="cloud-to-device messages are not part of this hub yet: the link is admitted, and nothing comes",
        )
        link.admit(detached=detached)

    def renew(self, admission: Admission) -> None:
        """The device handed in another token."""
        self._admission = admission
        self._timer.cancel()
        self._timer = self._look_again()

    def end(self, failure: Failure | None) -> None:
        """End the device's session and links; twice is as once."""
        self._timer.cancel()
        self._hub.sessions.end(self._session)
        links, self._links = self._links, set()
        for link in links:
            link.detach(failure)

    def _detached(self, link: Link) -> None:
        self._links.discard(link)
        if not self._links:
            self._left(self)

    # Messages.

    def _received(self, delivery: Delivery) -> None:
        try:
            received = amqp_telemetry.read(delivery.data, self._admission, self._hub.clock.now())
        except AmqpError as error:
            self._reject(delivery, Failure(DECODE_ERROR, error.reason), "amqp-message")
        except Malformed as error:
            too_large = error.rule == "message-too-large"
            told = Failure(TOO_LARGE, error.message) if too_large else failure(error)
            self._reject(delivery, told, error.rule)
        else:
            self._unsettled += 1
            *first, last = received
            for message in first:
                self._appending.take(message, None)
            self._appending.take(last, delivery)

    def _accept(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            delivery.accept()
        self._unsettled -= len(deliveries)
        self._control.flush()
        if not self._unsettled and self._settled is not None:
            self._settled()

    def _reject(self, delivery: Delivery, told: Failure, rule: str) -> None:
        log.info(
            "hub-message-refused", deviceId=self.device_id.text, rule=rule, evidence=told.description[:200]
        )
        delivery.reject(told)

    def _failed(self, reason: str) -> None:
        self._control.close(Failure("amqp:resource-limit-exceeded", reason))

    # The end of the proof.

    def _look_again(self) -> asyncio.TimerHandle:
        # A wall clock may jump, so the end of the credential is looked at long before it is far away.
        left = self._admission.ends_at - self._hub.clock.now()
        delay = max(0.0, min(left, _LOOK_AGAIN_S))
        return asyncio.get_running_loop().call_later(delay, self._end_if_due)

    def _end_if_due(self) -> None:
        if self._hub.clock.now() >= self._admission.ends_at:
            self._left(self)
            self._control.flush()
        else:
            self._timer = self._look_again()
