"""`$cbs`, where a hub's devices hand in their tokens over AMQP (claims-based security).

A put-token request is answered on the link that the peer attached to `$cbs` in the same session, whatever its reply-to
says; the answer's correlation id is the request's message id in the very type it came in, and the status an AMQP int: the
SDKs compare both strictly. What a token opens is read from the token, never from the `name` beside it.

Azure: Node amqp_cbs.js, C cbs.c, Java AmqpsCbsSenderLinkHandler.java; OASIS AMQP CBS draft.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import unquote

from accredit.domain.errors import AccreditError, Malformed, Unauthenticated
from accredit.domain.evidence import SasToken
from accredit.domain.ids import DeviceId
from accredit.fronts.amqp_links import LIMIT_EXCEEDED, AmqpControl, Delivery, Failure, Link
from accredit.fronts.eager import start
from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.wire import amqp_message, amqp_types, refusals, sas
from accredit.wire.amqp_types import AmqpError

CREDIT = 8
MAX_REQUEST_BYTES = 16 * 1024

MAX_LINKS = 32
"""Of one connection: each may hold the beginning of a message for somebody who has proven nothing yet."""

_DEVICE = re.compile(r"(?:[a-z]+://)?[^/]+/devices/([^/]+)(?:/.*)?", re.IGNORECASE)

Grant = Callable[[DeviceId, SasToken], Awaitable[None]]
"""Judge a token that names this device, and keep it; raises AccreditError or StoreUnavailable."""

Charged = Callable[[AccreditError, str], AccreditError]
"""Count a failure of this source address; what the device is told."""


class TokenNode:
    """One connection's `$cbs`."""

    def __init__(self, control: AmqpControl, grant: Grant, charged: Charged) -> None:
        self._control = control
        self._grant = grant
        self._charged = charged
        self._answers: dict[int, Link] = {}
        self._links = 0

    def attach(self, link: Link) -> None:
        if self._links >= MAX_LINKS:
            link.refuse(Failure(LIMIT_EXCEEDED, f"more than {MAX_LINKS} links to $cbs"))
            return
        self._links += 1
        detached = partial(self._detached, link)
        if link.incoming:
            received = partial(self._received, link.session)
            link.admit(
                received=received, detached=detached, credit=CREDIT, max_message_bytes=MAX_REQUEST_BYTES
            )
        else:
            self._answers[link.session] = link
            link.admit(detached=detached)

    def _detached(self, link: Link) -> None:
        self._links -= 1
        if self._answers.get(link.session) is link:
            del self._answers[link.session]

    def _received(self, session: int, delivery: Delivery) -> None:
        start(self._handle(session, delivery))

    async def _handle(self, session: int, delivery: Delivery) -> None:
        request_id, code, description = b"", 500, "Internal error"
        try:
            message = amqp_message.parse(delivery.data)
            request_id = message.properties.message_id
            device_id, token = _asked(message)
            await self._grant(device_id, token)
            code, description = 200, "OK"
        except AmqpError as error:
            code, description = 400, f"The message can't be read: {error.reason}."
        except AccreditError as refusal:
            log.info(
                "hub-token-refused",
                rule=refusal.rule,
                evidence=refusal.evidence or refusal.message,
                source=self._control.peer.source,
            )
            told = self._charged(refusal, self._control.peer.source)
            code, description = refusals.on_the_wire(told).http, told.message
        except StoreUnavailable as error:
            log.warning("hub-connect-postponed", evidence=str(error), source=self._control.peer.source)
            code, description = 503, "The hub can't tell now."
        except Exception:  # noqa: BLE001 - a defect must still be answered
            log.exception("amqp-cbs-failed", source=self._control.peer.source)
        delivery.accept()
        answers = self._answers.get(session)
        if answers is not None:
            self._control.first()
            answers.send(_answer(request_id, code, description))
        self._control.flush()


def _asked(message: amqp_message.Message) -> tuple[DeviceId, SasToken]:
    """Raises AccreditError."""
    if message.application.get("operation") != "put-token":
        raise Malformed("The operation is not put-token.", rule="amqp-operation")
    if not isinstance(message.value, str):
        raise Malformed("The body is not a token.", rule="amqp-message")
    token = sas.parse(message.value)
    found = _DEVICE.fullmatch(token.resource)
    if found is None:
        shown = f"the token is for {token.resource[:200]!r}"
        raise Unauthenticated("Unauthorized", rule="sas-scope", evidence=shown)
    return DeviceId.parse(unquote(found[1])), token


def _answer(request_id: bytes, code: int, description: str) -> bytes:
    return amqp_message.encode(
        value=amqp_types.NULL,
        properties=amqp_message.Properties(correlation_id=request_id),
        application={
            "status-code": amqp_types.int32(code),
            "status-description": amqp_types.string(description),
        },
    )
