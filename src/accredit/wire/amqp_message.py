"""AMQP messages: their sections to values and back.

A message is read section by section; what is not needed (header, delivery annotations, footer) is read over. Ids of any
AMQP type are kept as they were encoded, because clients compare an answer's correlation id with their own by type and
value. Several messages may travel as one: a batch is a message whose data sections are messages, and since the engine
does not tell the message format (0x80013700) that would say so, it is told by its data: what begins like a message and
is one to its end. Not here: deliveries and links.

AMQP 1.0 part 3.2; batches: C# AmqpIotSendingLink.cs, Java, C telemetry_messenger.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from accredit.values import dataclass, field
from accredit.wire import amqp_types
from accredit.wire.amqp_types import AmqpError, Reader, Timestamp

HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION, DATA, SEQUENCE, VALUE, FOOTER = range(
    0x70, 0x79
)
_NAMES = {
    "amqp:header:list": HEADER,
    "amqp:delivery-annotations:map": DELIVERY_ANNOTATIONS,
    "amqp:message-annotations:map": ANNOTATIONS,
    "amqp:properties:list": PROPERTIES,
    "amqp:application-properties:map": APPLICATION,
    "amqp:data:binary": DATA,
    "amqp:amqp-sequence:list": SEQUENCE,
    "amqp:amqp-value:*": VALUE,
    "amqp:footer:map": FOOTER,
}
_MAX_MESSAGES = 10_000


@dataclass(frozen=True, slots=True)
class Properties:
    """The immutable properties that somebody here reads. Ids are encoded values, b"" where there is none."""

    message_id: bytes = b""
    user_id: bytes | None = None
    to: str | None = None
    subject: str | None = None
    correlation_id: bytes = b""
    content_type: str | None = None
    content_encoding: str | None = None
    absolute_expiry_ms: int | None = None
    creation_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """`data` are the data sections; `value` that of an amqp-value body."""

    data: tuple[bytes, ...] = ()
    value: Any = None
    properties: Properties = Properties()
    application: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return self.data[0] if len(self.data) == 1 else b"".join(self.data)


def parse(encoded: bytes) -> Message:
    """Raises AmqpError."""
    reader = Reader(encoded)
    data: list[bytes] = []
    value: Any = None
    properties = Properties()
    maps: dict[int, dict[str, Any]] = {APPLICATION: {}, ANNOTATIONS: {}}
    while reader.more:
        descriptor = reader.descriptor()
        match _NAMES.get(descriptor, descriptor):
            case 0x73:
                properties = _properties(reader)
            case (0x74 | 0x72) as section:
                maps[section] = _map(reader.value())
            case 0x75:
                part = reader.value()
                if not isinstance(part, bytes):
                    raise AmqpError("a data section that is not binary")
                data.append(part)
            case 0x77:
                value = reader.value()
            case 0x70 | 0x71 | 0x76 | 0x78:
                reader.value()
            case _:
                raise AmqpError("a message with a section of no known kind")
    return Message(tuple(data), value, properties, maps[APPLICATION], maps[ANNOTATIONS])


def _map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise AmqpError("a section that is not a map with names for keys")
    return {str(key): item for key, item in value.items()}


_FIELDS: tuple[tuple[str, type] | None, ...] = (
    None,
    ("user_id", bytes),
    ("to", str),
    ("subject", str),
    None,
    None,
    ("content_type", str),
    ("content_encoding", str),
    ("absolute_expiry_ms", Timestamp),
    ("creation_ms", Timestamp),
)
_MESSAGE_ID, _CORRELATION_ID = 0, 5


def _properties(reader: Reader) -> Properties:
    """The list is read by hand, so that ids keep their encoding."""
    encoded = reader.raw()
    inside = Reader(encoded)
    fields: dict[str, Any] = {}
    for index in range(_count(inside)):
        if index in (_MESSAGE_ID, _CORRELATION_ID):
            raw = inside.raw()
            if raw != amqp_types.NULL:
                fields["message_id" if index == _MESSAGE_ID else "correlation_id"] = raw
            continue
        value = inside.value()
        expected = _FIELDS[index] if index < len(_FIELDS) else None
        if expected is not None and value is not None:
            name, kind = expected
            if not isinstance(value, kind):
                raise AmqpError(f"a property {name} of the wrong type")
            fields[name] = str(value) if kind is str else value
    return Properties(**fields)


def _count(inside: Reader) -> int:
    """Enter a list that was read over already: its sizes are good."""
    match inside.byte():
        case 0x45:
            return 0
        case 0xC0:
            inside.byte()
            return inside.byte()
        case 0xD0:
            inside.at += 4
            return int.from_bytes(bytes(inside.byte() for _ in range(4)), "big")
        case _:
            raise AmqpError("properties that are not a list")


def unpacked(message: Message) -> tuple[Message, ...]:
    """The messages of a batch, or the message itself. Raises AmqpError for a batch of too many."""
    if not message.data or not all(map(_begins_a_message, message.data)):
        return (message,)
    if len(message.data) > _MAX_MESSAGES:
        raise AmqpError(f"a batch of {len(message.data)} messages")
    try:
        return tuple(parse(part) for part in message.data)
    except AmqpError:
        return (message,)


def _begins_a_message(data: bytes) -> bool:
    return data[:2] == b"\x00\x53" and len(data) > 2 and HEADER <= data[2] <= FOOTER


def text(value: Any) -> str | None:
    """A value as the text of a property, None for what has no short text."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return str(value)
        case int() | float() | UUID():
            return str(value)
        case _:
            return None


def id_text(encoded: bytes) -> str | None:
    """An id as text: clients send uuids, strings, ulongs and binaries."""
    if not encoded:
        return None
    value = Reader(encoded).value()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else text(value)


# Writing.


def encode(
    body: bytes | None = None,
    *,
    value: bytes | None = None,
    properties: Properties | None = None,
    application: Mapping[str, bytes] | None = None,
    annotations: Mapping[str, bytes] | None = None,
) -> bytes:
    """A message with one data section, or an encoded `value`; property values are encoded already."""
    sections = []
    if annotations:
        sections.append(amqp_types.described(ANNOTATIONS, _encoded_map(annotations, amqp_types.symbol)))
    if properties is not None:
        sections.append(amqp_types.described(PROPERTIES, _encoded_properties(properties)))
    if application:
        sections.append(amqp_types.described(APPLICATION, _encoded_map(application, amqp_types.string)))
    if value is not None:
        sections.append(amqp_types.described(VALUE, value))
    elif body is not None:
        sections.append(amqp_types.described(DATA, amqp_types.binary(body)))
    return b"".join(sections)


def _encoded_map(values: Mapping[str, bytes], key: Any) -> bytes:
    return amqp_types.mapping(*(part for name, value in values.items() for part in (key(name), value)))


def _encoded_properties(properties: Properties) -> bytes:
    def or_null(value: Any, write: Any) -> bytes:
        return amqp_types.NULL if value is None else bytes(write(value))

    fields = [
        properties.message_id or amqp_types.NULL,
        or_null(properties.user_id, amqp_types.binary),
        or_null(properties.to, amqp_types.string),
        or_null(properties.subject, amqp_types.string),
        amqp_types.NULL,
        properties.correlation_id or amqp_types.NULL,
        or_null(properties.content_type, amqp_types.symbol),
        or_null(properties.content_encoding, amqp_types.symbol),
        or_null(properties.absolute_expiry_ms, amqp_types.timestamp),
        or_null(properties.creation_ms, amqp_types.timestamp),
    ]
    while fields and fields[-1] == amqp_types.NULL:
        fields.pop()
    return amqp_types.sequence(*fields)
