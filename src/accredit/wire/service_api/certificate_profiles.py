"""Certificate profile documents (`/certificateProfiles/{name}`): what the leaves of the built-in CA look like.

A member that nobody knows is refused: a slip of the pen would stand in every certificate. What the values may be is
not known here (`policy/profiles.py`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.credential import CLIENT_AUTH, DEFAULT_PROFILE, Profile
from accredit.domain.errors import Malformed
from accredit.domain.ids import CertificateProfileName
from accredit.wire.instants import iso
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.etags import quoted

DAY_S = 86_400

USAGES = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": CLIENT_AUTH,
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
}
"""Extended key usages that have a name here; any other stands as its object identifier (RFC 5280, 4.2.1.12)."""

_USAGE_NAMES = {oid: name for name, oid in USAGES.items()}


class AlternativeName(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One of the two: a URI or a DNS name, as a template."""

    uri: str | None = None
    dns: str | None = None


class CertificateProfileDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What PUT takes. The last members are an answer's own, read so that it can be sent back."""

    validity_days: int | None = None
    validity_seconds: int | None = None
    allowed_keys: list[str] = []
    subject: dict[str, str] = {}
    subject_alternative_names: list[AlternativeName] | None = None
    extended_key_usages: list[str] | None = None
    certificate_policies: list[str] = []
    authority_information_access: bool = True
    crl_distribution_points: bool = True
    name: str | None = None
    version: str | None = None
    etag: str | None = None
    created_date_time_utc: str | None = None
    last_updated_date_time_utc: str | None = None


def read_certificate_profile(body: bytes, name: CertificateProfileName) -> Profile:
    """The profile of a PUT document; its version is given when it is stored."""
    document = read(body, CertificateProfileDocument)
    if document.name is not None and document.name.lower() != name.key:
        raise Malformed("name in the body is not the one in the address.", rule="id-mismatch")
    alternative_names, usages = document.subject_alternative_names, document.extended_key_usages
    return Profile(
        name=name.text,
        version="",
        validity_s=_validity(document),
        subject=tuple(document.subject.items()),
        alternative_names=(
            DEFAULT_PROFILE.alternative_names
            if alternative_names is None
            else tuple(_alternative_name(each) for each in alternative_names)
        ),
        extended_key_usages=(
            DEFAULT_PROFILE.extended_key_usages
            if usages is None
            else tuple(USAGES.get(usage, usage) for usage in usages)
        ),
        policies=tuple(document.certificate_policies),
        keys=tuple(document.allowed_keys),
        access=document.authority_information_access,
        distribution=document.crl_distribution_points,
    )


def certificate_profile_document(record: CertificateProfile) -> dict[str, Any]:
    """As answers show it."""
    profile = record.profile
    whole_days = profile.validity_s % DAY_S == 0
    validity = (
        {"validityDays": profile.validity_s // DAY_S}
        if whole_days
        else {"validitySeconds": profile.validity_s}
    )
    return {
        "name": record.name.text,
        "version": profile.version,
        **validity,
        "allowedKeys": list(profile.keys),
        "subject": dict(profile.subject),
        "subjectAlternativeNames": [{kind: text} for kind, text in profile.alternative_names],
        "extendedKeyUsages": [_USAGE_NAMES.get(oid, oid) for oid in profile.extended_key_usages],
        "certificatePolicies": list(profile.policies),
        "authorityInformationAccess": profile.access,
        "crlDistributionPoints": profile.distribution,
        "etag": quoted(record.etag),
        "createdDateTimeUtc": iso(record.created_at),
        "lastUpdatedDateTimeUtc": iso(record.updated_at),
    }


def _validity(document: CertificateProfileDocument) -> int:
    if document.validity_days is not None and document.validity_seconds is not None:
        raise Malformed("Give validityDays or validitySeconds, not both.", rule="certificate-profile")
    if document.validity_seconds is not None:
        return document.validity_seconds
    return DEFAULT_PROFILE.validity_s if document.validity_days is None else document.validity_days * DAY_S


def _alternative_name(sent: AlternativeName) -> tuple[str, str]:
    if sent.uri is not None and sent.dns is None:
        return "uri", sent.uri
    if sent.dns is not None and sent.uri is None:
        return "dns", sent.dns
    raise Malformed(
        'An entry of subjectAlternativeNames is not {"uri": ...} or {"dns": ...}.', rule="certificate-profile"
    )
