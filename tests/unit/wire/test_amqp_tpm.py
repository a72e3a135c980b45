"""The TPM mechanism's words, as the SDKs say and demand them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire import amqp_tpm as tpm
from accredit.wire.amqp_types import AmqpError

_NAMES = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",)), max_size=60)


@given(_NAMES, _NAMES, st.binary(min_size=1, max_size=400))
def test_an_opening_comes_back_whatever_its_key_holds(scope: str, name: str, key: bytes) -> None:
    said = tpm.Opening(scope, name, key)
    assert tpm.parse_opening(tpm.opening(said)) == said


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x00a\x00b", b"\x00a\x00b\x00", b"x\x00a\x00b\x00k", b"\x00\xff\x00b\x00k",
     b"\x00a\x00b\x00" + bytes(tpm.MAX_KEY_BYTES + 1)],
)  # fmt: skip
def test_what_is_no_opening_is_refused(data: bytes) -> None:
    with pytest.raises(AmqpError):
        tpm.parse_opening(data)


@given(st.binary(min_size=1, max_size=tpm.MAX_KEY_BYTES))
def test_a_word_comes_back(data: bytes) -> None:
    assert tpm.parse_word(tpm.word(data)) == data


@pytest.mark.parametrize("data", [b"", b"\x00", b"xx", b"\x00" + bytes(tpm.MAX_KEY_BYTES + 1)])
def test_what_is_no_word_is_refused(data: bytes) -> None:
    with pytest.raises(AmqpError):
        tpm.parse_word(data)


@given(st.binary(min_size=2, max_size=2 * tpm.MAX_PART_BYTES))
def test_a_blob_goes_in_two_parts_as_java_demands(blob: bytes) -> None:
    """Checklist 14, AmqpsProvisioningSaslHandler.java: the control bytes are compared with 0x80 and 0xC1."""
    first, last = tpm.parts(blob)
    assert (first[0], last[0]) == (0x80, 0xC1)
    # Node, sasl_tpm.js: a challenge of one byte is the call for the storage root key.
    assert len(first) > 1
    assert len(last) > 1
    # C, prov_sasl_tpm.c: a frame of 512 bytes.
    assert max(len(first), len(last)) <= tpm.MAX_PART_BYTES + 1
    assembly = tpm.Assembly()
    assert assembly.take(first) is None
    assert assembly.take(last) == blob


@pytest.mark.parametrize("size", [0, 1, 2 * tpm.MAX_PART_BYTES + 1])
def test_a_blob_that_fits_no_two_parts_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="2 to 940"):
        tpm.parts(bytes(size))


@pytest.mark.parametrize("challenge", [b"", b"\x80", b"\x00\x00", b"\x81x", b"\xc1x"])
def test_a_part_out_of_turn_is_refused(challenge: bytes) -> None:
    with pytest.raises(AmqpError):
        tpm.Assembly().take(challenge)
