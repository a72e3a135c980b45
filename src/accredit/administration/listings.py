"""What was issued: certificates and the leaves of the issuance log. Reading only."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.credential import CertificateRecord
from accredit.domain.custody import Ending, Orphan
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.ids import AuthorityName, RegistrationId
from accredit.domain.issuance_log import Leaf
from accredit.interfaces import Page, Store
from accredit.values import dataclass
from accredit.wire.service_api.queries import Paging


@dataclass(frozen=True, slots=True)
class Listings:
    store: Store

    async def certificates(
        self, registration_id: RegistrationId | None, paging: Paging
    ) -> Page[CertificateRecord]:
        """Every certificate in the log, or those of one registration."""
        return await self.store.certificates(registration_id, paging.cursor, paging.limit)

    async def certificate(self, name: int | bytes, authority: AuthorityName | None) -> CertificateRecord:
        """By serial number or SHA-256; raises NotFound, and Conflict when authorities share the serial number."""
        found = await self._by_serial(name, authority) if isinstance(name, int) else await self._by_hash(name)
        if not found:
            raise NotFound("There is no such certificate.", rule="certificate-unknown")
        if len(found) > 1:
            raise Conflict(
                f"{len(found)} authorities have issued a certificate with this serial number.",
                rule="serial-shared",
                hint="add &authority=NAME, or name the certificate by its SHA-256",
            )
        return found[0]

    async def leaves(self, paging: Paging) -> Page[Leaf]:
        return await self.store.leaves(paging.cursor, paging.limit)

    async def orphans(self, paging: Paging) -> Page[Orphan]:
        """Signatures that serve nobody: answers that were lost, certificates that were not ordered or not needed."""
        return await self.store.orphans(paging.cursor, paging.limit)

    async def endings(self, first_day: int) -> Sequence[Ending]:
        return await self.store.endings(first_day)

    async def _by_hash(self, sha256: bytes) -> list[CertificateRecord]:
        record = await self.store.certificate(sha256)
        return [record] if record is not None else []

    async def _by_serial(self, serial: int, authority: AuthorityName | None) -> list[CertificateRecord]:
        found = await self.store.certificates_with_serial(serial)
        return [record for record in found if authority in (None, record.authority)]
