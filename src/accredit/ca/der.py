"""Writing DER (ITU-T X.690): tag, length, content; and an instant as a certificate carries it (RFC 5280, 4.1.2.5)."""

from __future__ import annotations

from functools import lru_cache
from time import gmtime, strftime

BOOLEAN_TRUE = b"\x01\x01\xff"
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31


def element(tag: int, *parts: bytes) -> bytes:
    """One element with a single-octet tag and a definite length."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    if size < 0x10000:
        return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content
    octets = (size.bit_length() + 7) // 8
    return bytes((tag, 0x80 | octets)) + size.to_bytes(octets, "big") + content


@lru_cache(maxsize=64)  # every leaf of one second has the same two
def time(instant: int) -> bytes:
    """Unix seconds as UTCTime until 2049, GeneralizedTime from 2050 on. Years 1950 to 9999."""
    moment = gmtime(instant)
    if moment.tm_year < 2050:
        return element(UTC_TIME, strftime("%y%m%d%H%M%SZ", moment).encode())
    return element(GENERALIZED_TIME, strftime("%Y%m%d%H%M%SZ", moment).encode())
