"""Certificate profile documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.credential import CLIENT_AUTH, DEFAULT_PROFILE, Profile
from accredit.domain.errors import Malformed
from accredit.domain.ids import CertificateProfileName
from accredit.wire.service_api.certificate_profiles import (
    certificate_profile_document,
    read_certificate_profile,
)

NAME = CertificateProfileName.parse("Lamps")


def read(**members: Any) -> Profile:
    return read_certificate_profile(json.dumps(members).encode(), NAME)


def test_nothing_said_is_the_default_shape() -> None:
    made = read()
    assert (made.name, made.version) == ("Lamps", "")
    for member in ("validity_s", "subject", "alternative_names", "extended_key_usages", "policies", "keys"):
        assert getattr(made, member) == getattr(DEFAULT_PROFILE, member)
    assert made.access
    assert made.distribution


def test_everything_said_comes_back() -> None:
    sent = {
        "validitySeconds": 3601,
        "allowedKeys": ["P-384"],
        "subject": {"O": "Lamps"},
        "subjectAlternativeNames": [{"dns": "{deviceId}.example"}, {"uri": "urn:x:{deviceId}"}],
        "extendedKeyUsages": ["clientAuth", "1.2.3.4"],
        "certificatePolicies": ["1.2.3"],
        "authorityInformationAccess": False,
        "crlDistributionPoints": False,
    }
    made = read(**sent)
    assert made.extended_key_usages == (CLIENT_AUTH, "1.2.3.4")
    document = certificate_profile_document(CertificateProfile(NAME, made, "e", 0, 0))
    assert sent.items() <= document.items()
    assert read(**document) == made


def test_days_are_shown_as_days() -> None:
    document = certificate_profile_document(CertificateProfile(NAME, read(validityDays=7), "e", 0, 0))
    assert document["validityDays"] == 7
    assert "validitySeconds" not in document


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"validityDays": 1, "validitySeconds": 3600}, "certificate-profile"),
        ({"subjectAlternativeNames": [{}]}, "certificate-profile"),
        ({"subjectAlternativeNames": [{"uri": "a:b", "dns": "c"}]}, "certificate-profile"),
        ({"subjectAlternativeNames": [{"email": "a"}]}, "document-invalid"),
        ({"validityDay": 1}, "document-invalid"),
        ({"validityDays": "1"}, "document-invalid"),
        ({"name": "other"}, "id-mismatch"),
    ],
)
def test_what_is_refused(members: dict[str, Any], rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(**members)
    assert refused.value.rule == rule
