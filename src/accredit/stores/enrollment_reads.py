"""Enrollments in the store, as they are read, and what stands beside them: the service's secrets, policies, authorities."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.access import Policy, Realm
from accredit.domain.authority import AuthorityRecord
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.interfaces import LAST_KEY, Page
from accredit.stores import paging, rows, sealed_rows
from accredit.stores import statements as sql
from accredit.stores.trust import TrustReads


class EnrollmentReads(TrustReads):
    """The part of `interfaces.Store` that is about what operators set."""

    async def state(self, name: str) -> Secret | None:
        row = await self._row(sql.STATE, (name,))
        return None if row is None else sealed_rows.state(name, row[0], self._sealer)

    async def policy(self, realm: Realm, name: str) -> Policy | None:
        question = (Policy, realm, name)
        known: Policy | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_policy(realm, name))

    async def _stored_policy(self, realm: Realm, name: str) -> Policy | None:
        row = await self._row(sql.POLICY, (realm.value, name))
        return None if row is None else self._policy(row)

    async def policies(self, realm: Realm) -> Sequence[Policy]:
        return [self._policy(row) for row in await self._rows(sql.POLICIES, (realm.value,))]

    async def policies_page(self, realm: Realm, cursor: str | None, limit: int) -> Page[Policy]:
        limit = paging.bounded(limit)
        listing = f"policies-{realm}"
        values = (realm.value, paging.after_key(cursor, listing), limit + 1)
        found = await self._rows(sql.POLICIES_PAGE, values)
        return paging.page(found, limit, self._policy, lambda row: row[1], listing)

    async def authority(self, name: AuthorityName) -> AuthorityRecord | None:
        question = (AuthorityRecord, name.key)
        known: AuthorityRecord | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_authority(name.key))

    async def _stored_authority(self, key: str) -> AuthorityRecord | None:
        row = await self._row(sql.AUTHORITY, (key,))
        return None if row is None else self._authority(row)

    async def authorities(self, cursor: str | None, limit: int) -> Page[AuthorityRecord]:
        limit = paging.bounded(limit)
        found = await self._rows(sql.AUTHORITIES, (paging.after_key(cursor, "authorities"), limit + 1))
        return paging.page(found, limit, self._authority, lambda row: row[0].lower(), "authorities")

    async def enrollment(self, ref: EnrollmentRef) -> Enrollment | None:
        if ref.kind is not EnrollmentKind.GROUP:
            return await self._stored_enrollment(ref)
        question = (Enrollment, ref.key)
        known: Enrollment | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_enrollment(ref))

    async def _stored_enrollment(self, ref: EnrollmentRef) -> Enrollment | None:
        row = await self._row(sql.ENROLLMENT, (ref.kind.value, ref.key))
        return None if row is None else self._enrollment(row)

    async def enrollments(
        self, kind: EnrollmentKind, cursor: str | None, limit: int, low: str = "", high: str = LAST_KEY
    ) -> Page[Enrollment]:
        limit = paging.bounded(limit)
        listing = f"enrollments-{kind}"
        first = paging.first_key(cursor, listing, low)
        found = await self._rows(sql.ENROLLMENTS, (kind.value, first, high, limit + 1))
        return paging.page(found, limit, self._enrollment, lambda row: row[1], listing)

    async def symmetric_groups(self) -> Sequence[Enrollment]:
        known: Sequence[Enrollment] | None = self._cache.get(sql.SYMMETRIC_GROUPS)
        if known is not None:
            return known
        return await self._cache.filled(sql.SYMMETRIC_GROUPS, self._stored_symmetric_groups())

    async def _stored_symmetric_groups(self) -> Sequence[Enrollment]:
        return tuple(map(self._enrollment, await self._rows(sql.SYMMETRIC_GROUPS, ())))

    async def groups_named(self, subject_sha256: Sequence[bytes]) -> Sequence[Enrollment]:
        groups = {
            group.id.key: group for digest in subject_sha256 for group in await self._groups_with(digest)
        }
        return [groups[key] for key in sorted(groups)]

    async def _groups_with(self, digest: bytes) -> Sequence[Enrollment]:
        question = (sql.GROUPS_NAMED, digest)
        known: Sequence[Enrollment] | None = self._cache.get(question)
        if known is not None:
            return known
        return await self._cache.filled(question, self._stored_groups_with(digest))

    async def _stored_groups_with(self, digest: bytes) -> Sequence[Enrollment]:
        found = await self._rows(sql.GROUPS_NAMED, (digest, digest, digest))
        return tuple(map(self._enrollment, found))

    async def enrollments_using(self, name: AuthorityName) -> int:
        using = await self._count(sql.ENROLLMENTS_USING, (name.key,))
        return using + await self.enrollments_naming(name)

    def _enrollment(self, row: rows.Row) -> Enrollment:
        return sealed_rows.enrollment(row, self._sealer)

    def _policy(self, row: rows.Row) -> Policy:
        return sealed_rows.policy(row, self._sealer)

    def _authority(self, row: rows.Row) -> AuthorityRecord:
        return sealed_rows.authority(row, self._sealer)
