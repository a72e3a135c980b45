"""DPS's SASL mechanism `TPM`: the words of the device and of the service, both roles.

    device   00 idScope 00 registrationId 00 endorsement key (TPM2B_PUBLIC)
    service  00                                        device   00 storage root key (TPM2B_PUBLIC)
    service  80 first part of the activation blob      device   00
    service  C1 the rest of it                         device   00 SAS token

A control byte has bit 7 for data, bit 6 for the last part and a sequence number in the low bits. The blob always goes in
two parts: Java's SDK demands exactly 0x80 and 0xC1, and takes a challenge of one byte for the call for its storage root
key. The C SDK cuts words of its own that are longer than 470 bytes in the same manner. Not here: what is in a blob.

C# SaslTpmHandler.cs, C prov_sasl_tpm.c, Java AmqpsProvisioningSaslHandler.java, Node sasl_tpm.js.
"""

from __future__ import annotations

from accredit.values import dataclass
from accredit.wire.amqp_types import AmqpError

NAME = "TPM"

MAX_PART_BYTES = 470
"""What fits a frame of 512 bytes beside its headers."""

MAX_KEY_BYTES = 2_048

NEXT = b"\x00"
"""The service's call for the storage root key, and the device's for the next part."""

_DATA, _LAST, _SEQUENCE = 0x80, 0x40, 0x03


@dataclass(frozen=True, slots=True)
class Opening:
    """The device's first word."""

    id_scope: str
    registration_id: str
    endorsement_key: bytes


def opening(word: Opening) -> bytes:
    names = f"\x00{word.id_scope}\x00{word.registration_id}\x00"
    return names.encode() + word.endorsement_key


def parse_opening(data: bytes) -> Opening:
    """Raises AmqpError."""
    # The key is binary and may hold any byte: only the first three zeros separate.
    parts = data.split(b"\x00", 3)
    if len(parts) != 4 or parts[0] or not parts[3] or len(parts[3]) > MAX_KEY_BYTES:
        raise AmqpError("a TPM response without id scope, registration id and endorsement key")
    try:
        return Opening(parts[1].decode(), parts[2].decode(), parts[3])
    except UnicodeDecodeError:
        raise AmqpError("a TPM response whose names are not UTF-8") from None


def word(data: bytes) -> bytes:
    """A device's storage root key, or its token as bytes."""
    return b"\x00" + data


def parse_word(data: bytes) -> bytes:
    """Raises AmqpError."""
    if len(data) < 2 or data[:1] != b"\x00" or len(data) > MAX_KEY_BYTES + 1:
        raise AmqpError("a TPM response that does not begin with zero, or is empty")
    return data[1:]


def parts(blob: bytes) -> tuple[bytes, bytes]:
    """The activation blob in two parts, neither of them empty; the blob has 2 to 940 bytes."""
    if not 2 <= len(blob) <= 2 * MAX_PART_BYTES:
        raise ValueError("an activation blob of 2 to 940 bytes")
    cut = min(MAX_PART_BYTES, len(blob) - 1)
    return bytes([_DATA]) + blob[:cut], bytes([_DATA | _LAST | 1]) + blob[cut:]


class Assembly:
    """The device's end: parts to the blob."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def take(self, challenge: bytes) -> bytes | None:
        """The whole blob once its last part has come. Raises AmqpError for a part out of turn."""
        if len(challenge) < 2 or not challenge[0] & _DATA:
            raise AmqpError("a challenge that is no part of a blob")
        if challenge[0] & _SEQUENCE != len(self._parts) & _SEQUENCE:
            raise AmqpError("a part of a blob out of turn")
        self._parts.append(challenge[1:])
        return b"".join(self._parts) if challenge[0] & _LAST else None
