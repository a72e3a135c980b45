"""Certificates in the store, as they are read: each with the chain above it, which many of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accredit.domain.credential import CertificateRecord
from accredit.domain.device import Binding
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.interfaces import Page
from accredit.seal import Sealer
from accredit.stores import paging, rows
from accredit.stores import statements as sql
from accredit.stores.reading import Reading

_MAX_CHAINS = 1024


class CertificateReads(Reading):
    """The part of `interfaces.Store` that is about certificates and their bindings."""

    def __init__(self, sealer: Sealer) -> None:
        super().__init__(sealer)
        self._chains: dict[bytes, tuple[bytes, ...]] = {}

    async def certificate(self, sha256: bytes) -> CertificateRecord | None:
        row = await self._row(sql.CERTIFICATE, (sha256,))
        return None if row is None else (await self._certificates([row]))[0]

    async def certificates_of_key(self, spki_sha256: bytes) -> Sequence[CertificateRecord]:
        return await self._certificates(await self._rows(sql.CERTIFICATES_OF_KEY, (spki_sha256,)))

    async def certificates_with_serial(self, serial: int) -> Sequence[CertificateRecord]:
        values = (rows.serial_value(serial),)
        return await self._certificates(await self._rows(sql.CERTIFICATES_WITH_SERIAL, values))

    async def serial_known(self, authority: AuthorityName, serial: int) -> bool:
        values = (rows.serial_value(serial), authority.key)
        return await self._row(sql.SERIAL_KNOWN, values) is not None

    async def certificates(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[CertificateRecord]:
        limit = paging.bounded(limit)
        rest = (paging.after_id(cursor, "certificates"), limit + 1)
        if registration_id is None:
            found = await self._rows(sql.CERTIFICATES, rest)
        else:
            found = await self._rows(sql.CERTIFICATES_OF_REGISTRATION, (registration_id.key, *rest))
        above = await self._above(found)
        return paging.page(
            found, limit, lambda row: rows.certificate(row, above), paging.row_id, "certificates"
        )

    async def bindings(self, registration_id: RegistrationId, device_id: DeviceId) -> Sequence[Binding]:
        found = await self._rows(sql.BINDINGS, (registration_id.key, device_id.text))
        return [rows.binding(row) for row in found]

    async def _certificates(self, found: Sequence[rows.Row]) -> list[CertificateRecord]:
        above = await self._above(found)
        return [rows.certificate(row, above) for row in found]

    async def _above(self, found: Sequence[rows.Row]) -> Callable[[bytes | None], tuple[bytes, ...]]:
        """What tells the chains of these rows."""
        chains = {sha256: await self._chain(sha256) for sha256 in {row[rows.CHAIN_COLUMN] for row in found}}
        return chains.__getitem__

    async def _chain(self, sha256: bytes | None) -> tuple[bytes, ...]:
        if sha256 is None:
            return ()
        known = self._chains.get(sha256)
        if known is None:
            row = await self._row(sql.CHAIN, (sha256,))
            assert row is not None
            known = rows.chain(row[0])
            if len(self._chains) >= _MAX_CHAINS:
                self._chains.clear()
            self._chains[sha256] = known
        return known
