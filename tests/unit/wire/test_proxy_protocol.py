"""The PROXY protocol, version 2, byte for byte (HAProxy, doc/proxy-protocol.txt, section 2.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire.proxy_protocol import MAX_BYTES, SIGNATURE, BadHeader, Header, local, proxied, read

# By the specification's figures: version and command, family and transport, length; addresses, then ports.
TCP4 = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c0000207 c6336401 9c40 22b3")
TCP6 = bytes.fromhex(
    "0d0a0d0a000d0a515549540a 21 21 0024"
    "20010db8000000000000000000000007 20010db8000000000000000000000001 9c40 01bb"
)
HERE = ("192.0.2.7", 40_000), ("198.51.100.1", 8883)

ports = st.integers(0, 65_535)
v4 = st.tuples(st.ip_addresses(v=4).map(str), ports)
v6 = st.tuples(st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str), ports)


def test_the_figures_of_the_specification():
    assert read(TCP4) == Header(28, *HERE)
    assert read(TCP6) == Header(52, ("2001:db8::7", 40_000), ("2001:db8::1", 443))
    assert proxied(*HERE) == TCP4
    assert proxied(("2001:db8::7", 40_000), ("2001:db8::1", 443)) == TCP6


@given(st.tuples(v4, v4) | st.tuples(v6, v6), st.binary(max_size=64), st.binary(max_size=64))
def test_what_is_written_is_read_and_what_follows_is_left(ends, extra, rest):
    header = read(proxied(*ends, extra) + rest)
    assert header is not None
    assert (header.source, header.destination) == ends
    assert proxied(*ends, extra)[: header.size] + rest == proxied(*ends, extra) + rest


@given(st.integers(0, len(TCP6) - 1))
def test_a_part_of_one_is_waited_for(size):
    assert read(TCP6[:size]) is None


def test_a_connection_of_the_balancer_itself_has_no_other_address():
    assert read(local() + b"hello") == Header(16)
    # Whatever stands in it is not looked at.
    assert read(SIGNATURE + bytes.fromhex("20 11 0002 ffff")) == Header(18)


@pytest.mark.parametrize(
    ("family", "octets"),
    [("00", 0), ("00", 40), ("12", 12), ("22", 36), ("31", 216), ("32", 216)],
)
def test_a_kind_without_such_addresses_is_the_connection_s_own(family, octets):
    data = SIGNATURE + bytes.fromhex(f"21 {family} {octets:04x}") + bytes(octets)
    assert read(data) == Header(16 + octets)


def test_an_ipv4_address_inside_an_ipv6_one_is_itself():
    header = read(proxied(("::ffff:192.0.2.7", 1), ("2001:db8::1", 2)))
    assert header is not None
    assert header.source == ("192.0.2.7", 1)


def test_a_long_one_is_read_up_to_the_bound():
    longest = proxied(*HERE, bytes(MAX_BYTES - 28))
    assert read(longest) == Header(MAX_BYTES, *HERE)
    with pytest.raises(BadHeader, match="longer than 2048 bytes"):
        read(proxied(*HERE, bytes(MAX_BYTES - 27))[:16])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 8883\r\n", "signature of version 2"),
        (b"\x16\x03\x01", "signature of version 2"),
        (b"\r\n\r\r", "signature of version 2"),
        (SIGNATURE + bytes.fromhex("11 11 000c") + bytes(12), "version and command are 0x11"),
        (SIGNATURE + bytes.fromhex("22 11 000c") + bytes(12), "version and command are 0x22"),
        (SIGNATURE + bytes.fromhex("21 41 000c") + bytes(12), "address family is 0x41"),
        (SIGNATURE + bytes.fromhex("21 13 000c") + bytes(12), "address family is 0x13"),
        (SIGNATURE + bytes.fromhex("21 11 000b") + bytes(11), "too short for its addresses"),
        (SIGNATURE + bytes.fromhex("21 31 0010") + bytes(16), "too short for its addresses"),
    ],
)
def test_what_is_no_header_is_refused(data, why):
    with pytest.raises(BadHeader, match=why):
        read(data)
