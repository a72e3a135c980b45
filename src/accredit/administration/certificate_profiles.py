"""Certificate profiles: put, read, delete, list."""

from __future__ import annotations

from accredit.administration import names
from accredit.administration.preconditions import check_present, check_put, repeated
from accredit.domain.certificate_profile import CertificateProfile
from accredit.domain.changes import DeleteCertificateProfile, SaveCertificateProfile
from accredit.domain.credential import Profile
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.ids import CertificateProfileName
from accredit.interfaces import Clock, Entropy, Page, Store
from accredit.observe import log
from accredit.policy.profiles import check_profile
from accredit.values import dataclass, replace
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.queries import Paging

_NOUN = "certificate profile"


@dataclass(frozen=True, slots=True)
class CertificateProfiles:
    store: Store
    clock: Clock
    entropy: Entropy

    async def put(
        self, name: CertificateProfileName, profile: Profile, condition: IfMatch, by: str
    ) -> CertificateProfile:
        """Create or replace, as `condition` allows; certificates of the new one are made as devices register."""
        return await repeated(lambda: self._put(name, profile, condition, by))

    async def read(self, name: CertificateProfileName) -> CertificateProfile:
        """Raises NotFound."""
        record = await self.store.certificate_profile(name)
        if record is None:
            raise NotFound("There is no such certificate profile.", rule="certificate-profile-unknown")
        return record

    async def delete(self, name: CertificateProfileName, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows, unless an enrollment names it."""
        await repeated(lambda: self._delete(name, condition))
        log.info("certificate-profile-deleted", by=by, certificateProfile=name.text)

    async def page(self, paging: Paging) -> Page[CertificateProfile]:
        return await self.store.certificate_profiles(paging.cursor, paging.limit)

    async def _put(
        self, name: CertificateProfileName, profile: Profile, condition: IfMatch, by: str
    ) -> CertificateProfile:
        present = await self.store.certificate_profile(name)
        check_put(condition, present.etag if present else None, _NOUN)
        check_profile(profile)
        now = int(self.clock.now())
        record = CertificateProfile(
            name=present.name if present else name,
            profile=self._versioned(profile, present),
            etag=names.etag(self.entropy),
            created_at=present.created_at if present else now,
            updated_at=now,
        )
        await self.store.commit([SaveCertificateProfile(record, replaces=present.etag if present else None)])
        outcome = "replaced" if present else "created"
        log.info(
            "certificate-profile-saved",
            by=by,
            certificateProfile=record.name.text,
            version=record.profile.version,
            outcome=outcome,
        )
        return record

    def _versioned(self, profile: Profile, present: CertificateProfile | None) -> Profile:
        """The same content keeps its version: a replace that changes nothing makes no certificate anew."""
        if present is not None:
            same = replace(profile, name=present.profile.name, version=present.profile.version)
            if same == present.profile:
                return same
            profile = replace(profile, name=present.profile.name)
        return replace(profile, version=names.generation(self.entropy))

    async def _delete(self, name: CertificateProfileName, condition: IfMatch) -> None:
        present = await self.store.certificate_profile(name)
        check_present(condition, present.etag if present else None, _NOUN, "certificate-profile-unknown")
        assert present is not None
        users = await self.store.enrollments_naming(name)
        if users:
            raise Conflict(
                f"The certificate profile is named by {users} enrollments and groups.",
                rule="certificate-profile-in-use",
                hint="take certificateProfileName off them first, or replace the profile",
            )
        await self.store.commit([DeleteCertificateProfile(name, present.etag)])
