"""Identifiers, parsed once at the edge and compared by their own rules.

Registration ids, enrollment group ids, device ids and the names of authorities, profiles, CA certificates and trust bundles share DPS's grammar: 1 to 128 characters of
`A-Z a-z 0-9 - . _ :`, the last one alphanumeric or `-` (Azure docs, *concepts-service*). All but device ids compare
without regard to case; the spelling that was first given is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

from accredit.domain.errors import Malformed

_GRAMMAR = re.compile(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]")

_HUB_GRAMMAR = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")

MAX_COMMON_NAME_CHARS = 64
"""RFC 5280, ub-common-name: an id longer than this cannot be the CN of a certificate."""


@dataclass(frozen=True, slots=True)
class _Name:
    text: str = field(compare=False)
    key: str

    noun = "id"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Malformed, naming the noun and the grammar."""
        if not _GRAMMAR.fullmatch(text):
            shown = text if len(text) <= 140 else text[:137] + "..."
            raise Malformed(
                f"{cls.noun} {shown!r} is not 1 to 128 letters, digits or - . _ : ending in a letter, digit or -.",
                rule="id-grammar",
            )
        return cls(text, text.lower())

    def __str__(self) -> str:
        return self.text


class RegistrationId(_Name):
    """What a device calls itself; equality ignores case."""

    __slots__ = ()
    noun = "registrationId"


class GroupId(_Name):
    """An enrollment group's name; equality ignores case."""

    __slots__ = ()
    noun = "enrollmentGroupId"


class AuthorityName(_Name):
    """A certificate authority's name; equality ignores case."""

    __slots__ = ()
    noun = "certificateAuthorityName"


class CaCertificateName(_Name):
    """An uploaded CA certificate's name; equality ignores case."""

    __slots__ = ()
    noun = "caCertificateName"


class TrustBundleName(_Name):
    """A trust bundle's name; equality ignores case."""

    __slots__ = ()
    noun = "trustBundleId"


class CertificateProfileName(_Name):
    """A certificate profile's name; equality ignores case."""

    __slots__ = ()
    noun = "certificateProfileName"


@dataclass(frozen=True, slots=True)
class DeviceId:
    """A hub identity's name; case matters (Azure IoT Hub, identity registry)."""

    text: str

    @classmethod
    def parse(cls, text: str) -> DeviceId:
        """Raises Malformed. DPS's grammar: every device id it can assign obeys it."""
        if not _GRAMMAR.fullmatch(text):
            raise Malformed(
                "deviceId is not 1 to 128 letters, digits or - . _ : ending in a letter, digit or -.",
                rule="id-grammar",
            )
        return cls(text)

    @classmethod
    def parse_at_hub(cls, text: str) -> DeviceId:
        """Raises Malformed. A hub's own, wider grammar, for identities that were made by hand (Azure IoT Hub)."""
        if not _HUB_GRAMMAR.fullmatch(text):
            raise Malformed(
                "deviceId is not 1 to 128 letters, digits or - : . + % _ # * ? ! ( ) , = @ ; $ '.",
                rule="id-grammar",
            )
        return cls(text)

    def __str__(self) -> str:
        return self.text
