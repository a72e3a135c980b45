"""A leaf's subject and alternative names in DER, as its profile has them (RFC 5280, 4.1.2.6 and 4.2.1.6).

The default profile's are what nearly every leaf has, and are written without being looked into; those of other
profiles are filled in by `policy/profiles.py`, which has judged them.
"""

from __future__ import annotations

from accredit.ca import der
from accredit.domain.credential import DEFAULT_PROFILE, Order, Profile
from accredit.policy.issuance import device_urn
from accredit.policy.profiles import SUBJECT_CHARS, names

_COMMON_NAME = bytes.fromhex("0603550403")
_ATTRIBUTES = {
    "C": bytes.fromhex("0603550406"),
    "serialNumber": bytes.fromhex("0603550405"),
    "L": bytes.fromhex("0603550407"),
    "ST": bytes.fromhex("0603550408"),
    "O": bytes.fromhex("060355040a"),
    "OU": bytes.fromhex("060355040b"),
}
_PRINTABLE = frozenset({"C", "serialNumber"})
_ORDER = {attribute: number for number, attribute in enumerate(SUBJECT_CHARS)}
_SUBJECT_ALTERNATIVE_NAME = bytes.fromhex("0603551d11")
_TAGS = {"uri": 0x86, "dns": 0x82}


class LeafNames:
    """Makes the names of one profile's leaves."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._usual = (profile.subject, profile.alternative_names) == (
            DEFAULT_PROFILE.subject,
            DEFAULT_PROFILE.alternative_names,
        )

    def encoded(self, order: Order) -> tuple[bytes, bytes]:
        """The subject, and the extension of the alternative names (nothing where there are none). Raises Malformed."""
        name = order.registration_id.text.encode()
        common = _attribute(_COMMON_NAME, der.UTF8_STRING, name)
        if self._usual:
            uri = der.element(_TAGS["uri"], device_urn(order.device_id).encode("ascii"))
            return der.element(der.SEQUENCE, common), _alternative(uri)
        made = names(self._profile, order.registration_id, order.device_id, order.group)
        before = b"".join(
            _attribute(
                _ATTRIBUTES[kind],
                der.PRINTABLE_STRING if kind in _PRINTABLE else der.UTF8_STRING,
                text.encode(),
            )
            for kind, text in sorted(made.subject, key=lambda entry: _ORDER[entry[0]])
        )
        others = b"".join(der.element(_TAGS[kind], text.encode("ascii")) for kind, text in made.alternative)
        return der.element(der.SEQUENCE, before, common), _alternative(others) if others else b""


def _attribute(oid: bytes, tag: int, text: bytes) -> bytes:
    return der.element(der.SET, der.element(der.SEQUENCE, oid, der.element(tag, text)))


def _alternative(general_names: bytes) -> bytes:
    value = der.element(der.OCTET_STRING, der.element(der.SEQUENCE, general_names))
    return der.element(der.SEQUENCE, _SUBJECT_ALTERNATIVE_NAME, value)
