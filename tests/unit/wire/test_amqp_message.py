"""Message sections (AMQP 1.0, 3.2), with the ids and batches that the SDKs send."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire import amqp_message as m
from accredit.wire import amqp_types as t
from accredit.wire.amqp_types import AmqpError

_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
_TEXT = st.none() | st.text(max_size=40)
_ID = st.one_of(
    st.just(b""),
    st.uuids().map(t.uuid),
    st.text(max_size=40).map(t.string),
    st.integers(0, 2**64 - 1).map(t.ulong),
    st.binary(max_size=40).map(t.binary),
)
_INSTANT = st.none() | st.integers(0, 2**53)
_PROPERTIES = st.builds(
    m.Properties, _ID, st.none() | st.binary(max_size=20), _TEXT, _TEXT, _ID,
    st.none() | _NAMES, st.none() | _NAMES, _INSTANT, _INSTANT,
)  # fmt: skip


@given(
    st.binary(max_size=600),
    _PROPERTIES,
    st.dictionaries(_NAMES, st.text(max_size=20), max_size=20),
    st.dictionaries(_NAMES, st.text(max_size=20), max_size=4),
)
def test_a_message_comes_back(
    body: bytes, properties: m.Properties, application: dict[str, str], annotations: dict[str, str]
) -> None:
    encoded = m.encode(
        body,
        properties=properties,
        application={name: t.string(value) for name, value in application.items()},
        annotations={name: t.string(value) for name, value in annotations.items()},
    )
    message = m.parse(encoded)
    assert message.body == body
    assert message.properties == properties
    assert message.application == application
    assert message.annotations == annotations


def test_a_value_for_a_body() -> None:
    message = m.parse(m.encode(value=t.string("SharedAccessSignature ...")))
    assert message.value == "SharedAccessSignature ..."
    assert message.data == ()


def test_a_message_without_a_body_as_java_sends_it() -> None:
    message = m.parse(m.encode(application={"iotdps-operation-type": t.string("iotdps-register")}))
    assert message.body == b""


def test_sections_that_nobody_reads_are_read_over() -> None:
    sections = [
        t.described(0x70, t.sequence(t.boolean(value=True), t.ubyte(4))),
        t.described(0x71, t.mapping(t.symbol("a"), t.uint(1))),
        b"\x00" + t.symbol("amqp:data:binary") + t.binary(b"one"),
        t.described(0x75, t.binary(b"two")),
        t.described(0x78, t.mapping()),
    ]
    assert m.parse(b"".join(sections)).body == b"onetwo"


def test_properties_of_a_long_list_and_unknown_ones() -> None:
    body = [t.string("x" * 300), *[t.NULL] * 10, t.uint(7), t.string("group"), t.NULL, t.string("more")]
    parsed = m.parse(t.described(0x73, t.sequence(*body)))
    assert parsed.properties.message_id == t.string("x" * 300)
    assert m.parse(t.described(0x73, t.sequence())).properties == m.Properties()


@pytest.mark.parametrize(
    "data",
    [
        b"\x40",
        t.described(0x7F, t.NULL),
        t.described(0x75, t.string("text")),
        t.described(0x74, t.sequence()),
        t.described(0x74, t.mapping(t.uint(1), t.uint(2))),
        t.described(0x73, t.mapping()),
        t.described(0x73, t.sequence(t.NULL, t.string("user"))),
        t.described(0x73, t.sequence(t.NULL, t.NULL, t.uint(1))),
        t.described(0x75, t.binary(b"x"))[:-1],
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(AmqpError):
        m.parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        message = m.parse(data)
    except AmqpError:
        return
    assert m.unpacked(message)
    m.id_text(message.properties.message_id)


def test_a_batch_is_unpacked() -> None:
    """C# AmqpIotSendingLink.cs: each data section is a whole message."""
    parts = [m.encode(b"%d" % number, application={"n": t.string(str(number))}) for number in range(3)]
    batch = m.parse(b"".join(t.described(0x75, t.binary(part)) for part in parts))
    assert [message.body for message in m.unpacked(batch)] == [b"0", b"1", b"2"]
    assert [message.application["n"] for message in m.unpacked(batch)] == ["0", "1", "2"]


@pytest.mark.parametrize("body", [b"", b"{}", b"\x00\x53", b"\x00\x53\x79\x40", b"\x00\x53\x75\xa0\x09x"])
def test_what_is_no_batch_stays_one_message(body: bytes) -> None:
    message = m.parse(m.encode(body))
    assert m.unpacked(message) == (message,)


def test_a_batch_of_too_many_is_refused() -> None:
    part = t.described(0x75, t.binary(m.encode(b"")))
    with pytest.raises(AmqpError):
        m.unpacked(m.parse(part * 10_001))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"), (True, "true"), (False, "false"), (1, "1"), (1.5, "1.5"), (None, None), ([], None),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)  # fmt: skip
def test_values_as_text(value: Any, text: str | None) -> None:
    assert m.text(value) == text


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (b"", None),
        (t.string("a"), "a"),
        (t.ulong(7), "7"),
        (t.binary(b"ab"), "ab"),
        (t.uuid(UUID(int=1)), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_ids_as_text(encoded: bytes, text: str | None) -> None:
    assert m.id_text(encoded) == text
