"""What the store keeps of trust: bundles that devices are told, uploaded CA certificates, certificate profiles, and which enrollments name them.

Rows to values and back, the statements of their changes, and the reading half of the store for them. All of it is
settings: read once, and then remembered until one of them is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from accredit.domain import changes as c
from accredit.domain.ca_certificate import CaCertificate, Purpose, VerificationCode
from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.credential import Profile
from accredit.domain.enrollment import Enrollment
from accredit.domain.ids import AuthorityName, CaCertificateName, CertificateProfileName, TrustBundleName
from accredit.domain.trust_bundle import TrustBundle
from accredit.interfaces import Page
from accredit.policy.chains import subject_sha256
from accredit.stores import paging
from accredit.stores import trust_statements as sql
from accredit.stores.reading import Reading
from accredit.stores.rows import Row, chain, packed
from accredit.stores.steps import Step, UnitOfWork, holds, saved

Named = AuthorityName | TrustBundleName | CaCertificateName | CertificateProfileName

_NAMING = {
    AuthorityName: sql.NAME_AUTHORITY,
    TrustBundleName: sql.NAME_TRUST_BUNDLE,
    CaCertificateName: sql.NAME_CA_CERTIFICATE,
    CertificateProfileName: sql.NAME_CERTIFICATE_PROFILE,
}
_PURPOSES = {purpose.value: purpose for purpose in Purpose}


# Changes.


def forget_named(kind: str, key: str, change: c.Change) -> Step:
    return sql.FORGET_NAMED, (kind, key), None, change


def name_steps(enrollment: Enrollment, change: c.Change) -> list[Step]:
    """Put on record what the enrollment names; each must be there."""
    place = (enrollment.kind.value, enrollment.id.key)
    return [
        (_NAMING[type(name)], (*place, name.noun, name.key), 1, change)
        for name in dict.fromkeys(enrollment.named)
    ]


def _save_trust_bundle(change: c.SaveTrustBundle, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.touches_settings = unit.touches_copies = True
    values = _trust_bundle_values(change.bundle)
    unit.steps.append(
        saved(sql.INSERT_TRUST_BUNDLE, sql.UPDATE_TRUST_BUNDLE, values, change.replaces, change)
    )


def _delete_trust_bundle(change: c.DeleteTrustBundle, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.touches_settings = unit.touches_copies = True
    name = change.name
    unit.steps.append((sql.DELETE_TRUST_BUNDLE, (name.key, change.etag, name.noun, name.key), 1, change))


def _save_certificate_profile(
    change: c.SaveCertificateProfile, unit: UnitOfWork, _: Sequence[c.Change]
) -> None:
    unit.touches_settings = unit.touches_copies = True
    insert, update = sql.INSERT_CERTIFICATE_PROFILE, sql.UPDATE_CERTIFICATE_PROFILE
    values = _certificate_profile_values(change.record)
    unit.steps.append(saved(insert, update, values, change.replaces, change))


def _delete_certificate_profile(
    change: c.DeleteCertificateProfile, unit: UnitOfWork, _: Sequence[c.Change]
) -> None:
    unit.touches_settings = unit.touches_copies = True
    name = change.name
    unit.steps.append(
        (sql.DELETE_CERTIFICATE_PROFILE, (name.key, change.etag, name.noun, name.key), 1, change)
    )


def _save_ca_certificate(change: c.SaveCaCertificate, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.touches_settings = unit.touches_copies = True
    values = _ca_certificate_values(change.certificate)
    unit.steps.append(
        saved(sql.INSERT_CA_CERTIFICATE, sql.UPDATE_CA_CERTIFICATE, values, change.replaces, change)
    )


def _delete_ca_certificate(change: c.DeleteCaCertificate, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.touches_settings = unit.touches_copies = True
    name = change.name
    unit.steps.append((sql.DELETE_CA_CERTIFICATE, (name.key, change.etag, name.noun, name.key), 1, change))


def _assert_ca_certificate(change: c.AssertCaCertificate, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((sql.ASSERT_CA_CERTIFICATE, (change.name.key, change.etag), holds, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    c.SaveTrustBundle: _save_trust_bundle,
    c.DeleteTrustBundle: _delete_trust_bundle,
    c.SaveCertificateProfile: _save_certificate_profile,
    c.DeleteCertificateProfile: _delete_certificate_profile,
    c.SaveCaCertificate: _save_ca_certificate,
    c.DeleteCaCertificate: _delete_ca_certificate,
    c.AssertCaCertificate: _assert_ca_certificate,
}
"""For `units.py`."""


# Reading.


class TrustReads(Reading):
    """The part of `interfaces.Store` that is about trust; the store gives it its way to the database, and its memory."""

    async def enrollments_naming(self, name: Named) -> int:
        return await self._count(sql.ENROLLMENTS_NAMING, (name.noun, name.key))

    async def trust_bundle(self, name: TrustBundleName) -> TrustBundle | None:
        question = (TrustBundle, name.key)
        known: TrustBundle | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_trust_bundle(name.key))

    async def _stored_trust_bundle(self, key: str) -> TrustBundle | None:
        row = await self._row(sql.TRUST_BUNDLE, (key,))
        return None if row is None else _trust_bundle(row)

    async def trust_bundles(self, cursor: str | None, limit: int) -> Page[TrustBundle]:
        limit = paging.bounded(limit)
        found = await self._rows(sql.TRUST_BUNDLES, (paging.after_key(cursor, "trust-bundles"), limit + 1))
        return paging.page(found, limit, _trust_bundle, lambda row: row[0].lower(), "trust-bundles")

    async def certificate_profile(self, name: CertificateProfileName) -> CertificateProfile | None:
        question = (CertificateProfile, name.key)
        known: CertificateProfile | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_certificate_profile(name.key))

    async def _stored_certificate_profile(self, key: str) -> CertificateProfile | None:
        row = await self._row(sql.CERTIFICATE_PROFILE, (key,))
        return None if row is None else _certificate_profile(row)

    async def certificate_profiles(self, cursor: str | None, limit: int) -> Page[CertificateProfile]:
        limit, listing = paging.bounded(limit), "certificate-profiles"
        found = await self._rows(sql.CERTIFICATE_PROFILES, (paging.after_key(cursor, listing), limit + 1))
        return paging.page(found, limit, _certificate_profile, lambda row: row[0].lower(), listing)

    async def ca_certificate(self, name: CaCertificateName) -> CaCertificate | None:
        question = (CaCertificate, name.key)
        known: CaCertificate | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_ca_certificate(name.key))

    async def _stored_ca_certificate(self, key: str) -> CaCertificate | None:
        row = await self._row(sql.CA_CERTIFICATE, (key,))
        return None if row is None else _ca_certificate(row)

    async def ca_certificates(self, cursor: str | None, limit: int) -> Page[CaCertificate]:
        limit = paging.bounded(limit)
        found = await self._rows(
            sql.CA_CERTIFICATES, (paging.after_key(cursor, "ca-certificates"), limit + 1)
        )
        return paging.page(found, limit, _ca_certificate, lambda row: row[0].lower(), "ca-certificates")

    async def ca_certificates_named(
        self, subject_sha256s: Sequence[bytes], purpose: Purpose
    ) -> Sequence[CaCertificate]:
        found = {
            each.name.key: each
            for digest in subject_sha256s
            for each in await self._with_subject(digest, purpose)
        }
        return [found[key] for key in sorted(found)]

    async def _with_subject(self, digest: bytes, purpose: Purpose) -> Sequence[CaCertificate]:
        question = (CaCertificate, purpose, digest)
        known: Sequence[CaCertificate] | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_with_subject(digest, purpose))

    async def _stored_with_subject(self, digest: bytes, purpose: Purpose) -> Sequence[CaCertificate]:
        found = await self._rows(sql.CA_CERTIFICATES_NAMED, (digest, purpose.value))
        return tuple(map(_ca_certificate, found))


def _trust_bundle_values(bundle: TrustBundle) -> tuple[Any, ...]:
    return (
        bundle.name.text,
        packed(bundle.certificates),
        bundle.etag,
        bundle.created_at,
        bundle.updated_at,
        bundle.name.key,
    )


def _trust_bundle(row: Row) -> TrustBundle:
    (text, certificates, *rest) = row
    return TrustBundle(TrustBundleName(text, text.lower()), chain(certificates), *rest)


def _certificate_profile_values(record: CertificateProfile) -> tuple[Any, ...]:
    document = msgspec.json.encode(record.profile).decode()
    return (record.name.text, document, record.etag, record.created_at, record.updated_at, record.name.key)


def _certificate_profile(row: Row) -> CertificateProfile:
    (text, document, *rest) = row
    profile = msgspec.json.decode(document, type=Profile)
    return CertificateProfile(CertificateProfileName(text, text.lower()), profile, *rest)


def _ca_certificate_values(certificate: CaCertificate) -> tuple[Any, ...]:
    code = certificate.code
    return (
        certificate.name.text,
        certificate.certificate,
        subject_sha256(certificate.certificate),
        certificate.purpose.value,
        certificate.verified,
        certificate.etag,
        certificate.created_at,
        certificate.updated_at,
        None if code is None else code.text,
        None if code is None else code.ends_at,
        certificate.name.key,
    )


def _ca_certificate(row: Row) -> CaCertificate:
    (text, certificate, purpose, verified, etag, created_at, updated_at, code, code_ends_at) = row
    return CaCertificate(
        CaCertificateName(text, text.lower()),
        certificate,
        _PURPOSES[purpose],
        bool(verified),
        etag,
        created_at,
        updated_at,
        None if code is None else VerificationCode(code, code_ends_at),
    )
