"""DER (ITU-T X.690) in both directions, for structures that no library reads: single-octet tags, definite lengths.

Reading goes one level at a time, so nothing nests deeper than its reader asks for, and is strict: a length is minimal,
and there is nothing behind the last element. What the contents mean is their reader's business.
"""

from __future__ import annotations

from accredit.values import dataclass

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
ENUMERATED = 0x0A
UTF8_STRING = 0x0C
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30

MAX_ELEMENTS = 64
MAX_LENGTH_OCTETS = 3


class BadDer(ValueError):
    """Not DER, or not what was expected at this place."""


@dataclass(frozen=True, slots=True)
class Element:
    """`whole` is the element with its tag and length."""

    tag: int
    content: bytes
    whole: bytes

    def inside(self) -> list[Element]:
        """Raises BadDer."""
        return elements(self.content)

    def number(self) -> int:
        """The value of an INTEGER of at most 64 bits; raises BadDer."""
        if self.tag != INTEGER or not 1 <= len(self.content) <= 8:
            raise BadDer("a number was expected")
        return int.from_bytes(self.content, "big", signed=True)


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int) -> bytes:
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return element(INTEGER, value.to_bytes(size, "big", signed=True))


def elements(data: bytes) -> list[Element]:
    """Everything that stands side by side in the data; raises BadDer."""
    found: list[Element] = []
    at = 0
    while at < len(data):
        if len(found) == MAX_ELEMENTS:
            raise BadDer(f"more than {MAX_ELEMENTS} elements side by side")
        one = _element(data, at)
        found.append(one)
        at += len(one.whole)
    return found


def only(data: bytes, tag: int) -> Element:
    """The one element that the data is; raises BadDer."""
    found = elements(data)
    if len(found) != 1 or found[0].tag != tag:
        raise BadDer(f"one element of tag {tag:#04x} was expected")
    return found[0]


def _element(data: bytes, at: int) -> Element:
    if at + 2 > len(data) or data[at] & 0x1F == 0x1F:
        raise BadDer("no tag and length that are read here")
    start, size = at + 2, data[at + 1]
    if size >= 0x80:
        octets = data[start : start + size - 0x80]
        start += len(octets)
        if not 1 <= size - 0x80 == len(octets) <= MAX_LENGTH_OCTETS:
            raise BadDer("a length that is not read here")
        size = int.from_bytes(octets, "big")
        if size < 0x80 or octets[0] == 0:
            raise BadDer("a length that is not minimal")
    end = start + size
    if end > len(data):
        raise BadDer("an element that ends beyond the data")
    return Element(data[at], data[start:end], data[at:end])
