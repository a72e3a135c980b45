"""SASL frames (AMQP 1.0, 5.3): written and read, whole and in pieces, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire import amqp_sasl as sasl
from accredit.wire import amqp_types as t
from accredit.wire.amqp_types import AmqpError

_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
_FRAMES = st.one_of(
    st.builds(sasl.Mechanisms, st.lists(_NAMES, min_size=1, max_size=6).map(tuple)),
    st.builds(sasl.Init, _NAMES, st.none() | st.binary(max_size=400), st.none() | st.text(max_size=60)),
    st.builds(sasl.Challenge, st.binary(max_size=600)),
    st.builds(sasl.Response, st.binary(max_size=600)),
    st.builds(sasl.Outcome, st.integers(0, 255)),
)


@given(st.lists(_FRAMES, max_size=5), st.integers(1, 64), st.binary(max_size=7))
def test_frames_come_back_however_they_are_cut(frames: list[sasl.Frame], size: int, rest: bytes) -> None:
    stream = b"".join(map(sasl.encode, frames)) + rest
    decoder = sasl.Decoder()
    found = [frame for at in range(0, len(stream), size) for frame in decoder.feed(stream[at : at + size])]
    assert found == frames
    assert decoder.rest() == rest


def framed(body: bytes, *, kind: int = 1, offset: int = 2, size: int | None = None) -> bytes:
    length = 8 + len(body) if size is None else size
    return length.to_bytes(4, "big") + bytes((offset, kind, 0, 0)) + body


@pytest.mark.parametrize(
    "data",
    [
        framed(b"", size=sasl.MAX_FRAME_BYTES + 1),
        framed(t.described(0x41, t.sequence(t.symbol("PLAIN"))), kind=0),
        framed(t.described(0x41, t.sequence(t.symbol("PLAIN"))), offset=1),
        framed(t.described(0x41, t.sequence(t.symbol("PLAIN"))), offset=255),
        framed(b"", size=3),
        framed(b""),
        framed(t.described(0x41, t.sequence())),
        framed(t.described(0x41, t.sequence(t.NULL))),
        framed(t.described(0x41, t.sequence(t.symbol("PLAIN"), t.string("text")))),
        framed(t.described(0x41, t.sequence(t.symbol("PLAIN"), t.NULL, t.uint(1)))),
        framed(t.described(0x41, t.symbol("PLAIN"))),
        framed(t.described(0x42, t.sequence(t.string("text")))),
        framed(t.described(0x40, t.sequence(t.uint(1)))),
        framed(t.described(0x40, t.sequence(t.sequence(t.uint(1))))),
        framed(t.described(0x10, t.sequence(t.string("an open")))),
        framed(t.described(0x41, t.sequence(t.symbol("PLAIN"))) + b"\x40"),
    ],
)
def test_what_is_no_sasl_frame_is_refused(data: bytes) -> None:
    with pytest.raises(AmqpError):
        list(sasl.Decoder().feed(data))


def test_frames_before_the_bad_one_are_given() -> None:
    frames = sasl.Decoder().feed(sasl.encode(sasl.Outcome(0)) + framed(b""))
    assert next(frames) == sasl.Outcome(0)
    with pytest.raises(AmqpError):
        next(frames)


def test_descriptors_may_be_symbols_and_headers_extended() -> None:
    body = b"\x00" + t.symbol("amqp:sasl-init:list") + t.sequence(t.symbol("ANONYMOUS"))
    assert list(sasl.Decoder().feed(framed(b"\xee" * 4 + body, offset=3))) == [sasl.Init("ANONYMOUS")]


def test_one_mechanism_may_stand_for_an_array() -> None:
    body = t.described(0x40, t.sequence(t.symbol("PLAIN")))
    assert list(sasl.Decoder().feed(framed(body))) == [sasl.Mechanisms(("PLAIN",))]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    decoder = sasl.Decoder()
    try:
        list(decoder.feed(data))
    except AmqpError:
        return
    assert len(decoder.rest()) <= len(data)


_WORDS = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",)), max_size=80)


@given(_WORDS, _WORDS)
def test_plain_comes_back(user: str, password: str) -> None:
    assert sasl.parse_plain(sasl.plain(user, password)) == (user, password)


def test_an_authorization_identity_is_passed_over() -> None:
    assert sasl.parse_plain(b"zid\x00user\x00password") == ("user", "password")


@pytest.mark.parametrize("response", [b"", b"user", b"\x00user", b"\x00a\x00b\x00c", b"\x00\xff\x00b"])
def test_what_is_not_plain_is_refused(response: bytes) -> None:
    with pytest.raises(AmqpError):
        sasl.parse_plain(response)


def test_what_is_held_back_can_be_bounded() -> None:
    decoder = sasl.Decoder()
    whole = sasl.encode(sasl.Response(b"r"))
    assert list(decoder.feed(whole + whole[:5])) == [sasl.Response(b"r")]
    assert decoder.held_bytes == 5
    assert list(decoder.feed(whole[5:])) == [sasl.Response(b"r")]
    assert decoder.held_bytes == 0
