"""A hub's device-to-cloud messages as AMQP carries them: one delivery to what the hub keeps.

System properties come from the properties section, from two message annotations, and from application properties whose
names are the hub's own; they get the names that the same message has over MQTT. A batch gives several messages.

Azure: Node amqp_message.js, C# AmqpIotMessageConverter.cs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from accredit.domain.device import Telemetry
from accredit.domain.errors import Malformed
from accredit.hub import messages
from accredit.hub.identities import Admission
from accredit.wire import amqp_message
from accredit.wire.amqp_message import Message
from accredit.wire.amqp_types import AmqpError
from accredit.wire.instants import iso

_ANNOTATIONS = ("iothub-interface-id", "dt-subject")
_SYSTEM: Mapping[str, str] = MappingProxyType(
    {
        "iothub-outputname": "iothub-outputname",
        "iothub-message-schema": "iothub-message-schema",
        "iothub-creation-time-utc": "creation-time-utc",
    }
)
"""Application properties that are the hub's, and their names among the system properties."""


def read(encoded: bytes, admission: Admission, now: float) -> list[Telemetry]:
    """At least one message. Raises AmqpError for what is no message, Malformed for one that is too large or can't be kept."""
    return [
        messages.telemetry(admission, message.body, dict(_application(message)), dict(_system(message)), now)
        for message in amqp_message.unpacked(amqp_message.parse(encoded))
    ]


def _application(message: Message) -> Iterator[tuple[str, str]]:
    for name, value in message.application.items():
        if name not in _SYSTEM:
            yield name, _text(name, value)


def _system(message: Message) -> Iterator[tuple[str, str]]:
    properties = message.properties
    user = properties.user_id
    said = {
        "message-id": amqp_message.id_text(properties.message_id),
        "correlation-id": amqp_message.id_text(properties.correlation_id),
        "user-id": None if user is None else user.decode("utf-8", "replace"),
        "to": properties.to,
        "content-type": properties.content_type,
        "content-encoding": properties.content_encoding,
        "absolute-expiry-time": _instant(properties.absolute_expiry_ms),
        "creation-time-utc": _instant(properties.creation_ms),
    }
    yield from ((name, value) for name, value in said.items() if value is not None)
    for name in _ANNOTATIONS:
        if name in message.annotations:
            yield name, _text(name, message.annotations[name])
    for name, system in _SYSTEM.items():
        if name in message.application:
            yield system, _text(name, message.application[name])


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    text = amqp_message.text(value)
    if text is None:
        raise Malformed(
            "A property is neither text nor a number.",
            rule="amqp-property",
            evidence=f"{name[:64]!r} is of the type {type(value).__name__}",
        )
    return text


def _instant(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        return iso(milliseconds / 1000)
    except (ValueError, OverflowError):
        raise AmqpError("an instant that is no date") from None
