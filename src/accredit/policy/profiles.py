"""What a certificate profile may say, and whether a device's key and names fit it (RFC 5280, 4.1.2.6 and 4.2.1.6).

A profile is checked when it is put; what depends on the device, before anything is ordered. The common name is not the
profile's affair: it is the registration id. How the names are encoded is not known here (`ca/template.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from accredit.domain import name_template
from accredit.domain.credential import DEFAULT_PROFILE, Profile, SigningRequest
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId, GroupId, RegistrationId
from accredit.policy.public_keys import DEFAULT_RULES, KeyRules
from accredit.values import dataclass

MIN_VALIDITY_S = 300
MAX_VALIDITY_S = 3_650 * 86_400
MAX_ENTRIES = 8
URN_CHARACTERS = ":@!$&'()*+,;="
"""What a URI takes of a name as it is, beside letters, digits and - . _ ~ (RFC 8141)."""

SUBJECT_CHARS: Mapping[str, int] = {"C": 2, "ST": 128, "L": 128, "O": 64, "OU": 64, "serialNumber": 64}
"""Attribute -> its upper bound (RFC 5280, appendix A.1), in the order in which they stand in the subject."""

KINDS = ("P-256", "P-384", "RSA-2048", "RSA-3072", "RSA-4096", "Ed25519")
"""Kinds of key as profiles name them; of RSA in between, the next smaller one counts."""

_WITH_ED25519 = KeyRules(ed25519=True)
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,9})){2,15}")
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]+")
_URI = re.compile(r"[a-z][a-z0-9+.\-]*:([A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-F]{2})+")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_DNS = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_SAMPLE = dict.fromkeys(name_template.PLACES, "x")


@dataclass(frozen=True, slots=True)
class Names:
    """A device's names under a profile: (attribute, text) before its common name, and (kind, text) of its SANs."""

    subject: tuple[tuple[str, str], ...]
    alternative: tuple[tuple[str, str], ...]


def check_profile(profile: Profile) -> None:
    """Raise Malformed, rule `certificate-profile`, for what no leaf could be made of."""
    if not MIN_VALIDITY_S <= profile.validity_s <= MAX_VALIDITY_S:
        raise _unusable(f"its validity is not {MIN_VALIDITY_S} seconds to {MAX_VALIDITY_S // 86_400} days")
    unknown = sorted(set(profile.keys) - set(KINDS))
    if unknown:
        raise _unusable(f"{unknown[0]!r} is not one of {', '.join(KINDS)}")
    _check_identifiers(profile)
    lists = (profile.subject, profile.alternative_names, profile.extended_key_usages, profile.policies)
    for entries in lists:
        if len(entries) > MAX_ENTRIES or len(set(entries)) < len(entries):
            raise _unusable(f"a list in it has more than {MAX_ENTRIES} entries, or one twice")
    for attribute, _ in profile.subject:
        if attribute not in SUBJECT_CHARS:
            raise _unusable(f"{attribute!r} is not one of {', '.join(SUBJECT_CHARS)}")
    try:
        _filled(profile, _SAMPLE)
    except ValueError as error:
        raise _unusable(str(error)) from None


def _check_identifiers(profile: Profile) -> None:
    for oid in (*profile.extended_key_usages, *profile.policies):
        if not _OID.fullmatch(oid):
            raise _unusable(f"{oid!r} is no object identifier")
    if not profile.extended_key_usages:
        raise _unusable("extendedKeyUsages names none; a device's certificate has at least clientAuth")


def check_device(
    profile: Profile,
    request: SigningRequest,
    registration_id: RegistrationId,
    device_id: DeviceId,
    group: GroupId | None,
) -> None:
    """Raise Malformed when this key, or these names, can't be certified under the profile."""
    if profile.keys and kind_of(request) not in profile.keys:
        raise Malformed(
            f"The certificate profile {profile.name} takes keys of {', '.join(profile.keys)} only.",
            rule="certificate-profile-key",
            hint="make a key of one of these kinds",
            evidence=kind_of(request),
        )
    if profile is not DEFAULT_PROFILE:
        names(profile, registration_id, device_id, group)


def key_rules(profile: Profile) -> KeyRules:
    """What a CSR's key is held against at intake: Ed25519 only where the profile names it."""
    return _WITH_ED25519 if "Ed25519" in profile.keys else DEFAULT_RULES


def names(
    profile: Profile, registration_id: RegistrationId, device_id: DeviceId, group: GroupId | None
) -> Names:
    """Raises Malformed, rule `certificate-profile-names`, where what comes out is no name of its kind."""
    known = {name_template.REGISTRATION_ID: registration_id.text, name_template.DEVICE_ID: device_id.text}
    if group is not None:
        known[name_template.GROUP_ID] = group.text
    try:
        return _filled(profile, known)
    except ValueError as error:
        raise Malformed(
            f"The certificate profile {profile.name} does not fit the names of this device: {error}.",
            rule="certificate-profile-names",
            hint="change the profile's templates, or give these devices another profile",
        ) from None


def kind_of(request: SigningRequest) -> str:
    """The kind of the request's key, as `KINDS` spells it."""
    match request.csr.public_key():
        case ec.EllipticCurvePublicKey(curve=curve):
            return "P-256" if isinstance(curve, ec.SECP256R1) else "P-384"
        case rsa.RSAPublicKey(key_size=bits):
            return f"RSA-{max(size for size in (2048, 3072, 4096) if size <= bits)}"
        case _:
            return "Ed25519"


def _filled(profile: Profile, known: Mapping[str, str]) -> Names:
    try:
        return Names(
            tuple(
                (kind, _attribute(kind, name_template.filled(text, known))) for kind, text in profile.subject
            ),
            tuple((kind, _alternative(kind, text, known)) for kind, text in profile.alternative_names),
        )
    except KeyError as missing:
        raise ValueError(f"it has no {missing.args[0]}") from None


def _attribute(kind: str, text: str) -> str:
    if not text or not text.isprintable() or len(text) > SUBJECT_CHARS[kind]:
        raise ValueError(f"{kind} is not 1 to {SUBJECT_CHARS[kind]} printable characters")
    if kind == "C" and not (len(text) == 2 and text.isascii() and text.isupper()):
        raise ValueError("C is not a country code of two capital letters")
    if kind == "serialNumber" and not _PRINTABLE.fullmatch(text):
        raise ValueError("serialNumber holds a character that a PrintableString has not")
    return text


def _alternative(kind: str, template: str, known: Mapping[str, str]) -> str:
    if kind == "uri":
        text = name_template.filled(template, known, lambda name: quote(name, safe=URN_CHARACTERS))
        if not _URI.fullmatch(text):
            raise ValueError(f"{text!r} is no URI")
        return text
    if kind == "dns":
        text = name_template.filled(template, known)
        if not _DNS.fullmatch(text):
            raise ValueError(f"{text!r} is no DNS name")
        return text
    raise ValueError(f"{kind!r} is not dns or uri")


def _unusable(reason: str) -> Malformed:
    return Malformed(f"The certificate profile can't be used: {reason}.", rule="certificate-profile")
