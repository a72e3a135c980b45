"""A certificate profile as the operator put it (`PUT /certificateProfiles/{name}`)."""

from __future__ import annotations

from accredit.domain.credential import Profile
from accredit.domain.ids import CertificateProfileName
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class CertificateProfile:
    """`profile.version` changes with what a PUT changes: a certificate of one version is not given back under another."""

    name: CertificateProfileName
    profile: Profile
    etag: str
    created_at: int
    updated_at: int
