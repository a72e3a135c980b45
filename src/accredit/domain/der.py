"""Finding an element's place in DER (ITU-T X.690), so that bytes can be taken over as they stand.

It reads single-octet tags and definite lengths, nothing else, and judges no content: what is cut out here has been,
or is about to be, read by a complete parser. It never looks beyond the bytes it was given.
"""

from __future__ import annotations

INTEGER = 0x02
BIT_STRING = 0x03
SEQUENCE = 0x30
VERSION = 0xA0
"""The explicit tag [0] in front of a certificate's version (RFC 5280, 4.1)."""


def content(der: bytes, at: int, tag: int) -> tuple[int, int]:
    """Return where the content of the element at `at` begins and where it ends.

    Raises ValueError when there is no whole element of that tag.
    """
    header = der[at : at + 2]
    if len(header) < 2 or header[0] != tag:
        raise ValueError(f"there is no element of tag {tag:#04x} at {at}")
    start, size = at + 2, header[1]
    if size >= 0x80:
        octets = size - 0x80
        if not 1 <= octets <= 3:
            raise ValueError(f"the element at {at} has a length of {octets} octets")
        start += octets
        size = int.from_bytes(der[at + 2 : start], "big")
    if start + size > len(der):
        raise ValueError(f"the element at {at} ends beyond the data")
    return start, start + size


def subject_public_key_info(request: bytes) -> bytes:
    """Cut the SubjectPublicKeyInfo out of a PKCS#10 request (RFC 2986, 4.1). Raises ValueError."""
    outer, _ = content(request, 0, SEQUENCE)
    info, _ = content(request, outer, SEQUENCE)
    _, version_end = content(request, info, INTEGER)
    _, subject_end = content(request, version_end, SEQUENCE)
    _, end = content(request, subject_end, SEQUENCE)
    return request[subject_end:end]


def subject(request: bytes) -> bytes:
    """Cut the subject's Name out of a PKCS#10 request (RFC 2986, 4.1). Raises ValueError."""
    outer, _ = content(request, 0, SEQUENCE)
    info, _ = content(request, outer, SEQUENCE)
    _, version_end = content(request, info, INTEGER)
    _, subject_end = content(request, version_end, SEQUENCE)
    return request[version_end:subject_end]


def key_bits(spki: bytes) -> bytes:
    """Return the key of a SubjectPublicKeyInfo: its BIT STRING without the unused-bits octet. Raises ValueError."""
    outer, _ = content(spki, 0, SEQUENCE)
    _, algorithm_end = content(spki, outer, SEQUENCE)
    start, end = content(spki, algorithm_end, BIT_STRING)
    return spki[start + 1 : end]


def serial_number(certificate: bytes) -> bytes:
    """Return the content octets of a certificate's serial number (RFC 5280, 4.1.2.2). Raises ValueError."""
    outer, _ = content(certificate, 0, SEQUENCE)
    at, _ = content(certificate, outer, SEQUENCE)
    if certificate[at : at + 1] == bytes([VERSION]):
        _, at = content(certificate, at, VERSION)
    start, end = content(certificate, at, INTEGER)
    return certificate[start:end]


def check_serial(certificate: bytes) -> None:
    """Raises ValueError for a serial number that is not positive (RFC 5280, 4.1.2.2): `cryptography` warns of it and goes on."""
    if int.from_bytes(serial_number(certificate), "big", signed=True) <= 0:
        raise ValueError("the serial number is not positive")
