"""Revocations in the store: the change that revokes a certificate, and what is read for CRLs, OCSP and outside CAs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.credential import CRL_SHARDS, CertificateRecord, RevocationReason, Revoked
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Page
from accredit.stores import mass_revocations, paging, rows
from accredit.stores import statements as sql
from accredit.stores.certificate_reads import CertificateReads
from accredit.stores.reserved_serials import ReservedSerialReads
from accredit.stores.steps import UnitOfWork

# The low bits of the serial number are its last hexadecimal digit.
REVOKE = """
UPDATE certificates SET
  revoked_at = ?, revoked_reason = ?, ca_told_at = ?, mass_revocation = ?,
  revoked_shard = instr('0123456789ABCDEF', substr(hex(serial), -1)) - 1,
  revoked_number = (SELECT COALESCE(MAX(revoked_number), 0) + 1 FROM certificates WHERE revoked_number IS NOT NULL)
WHERE sha256 = ? AND revoked_at IS NULL"""
_TOLD = """
UPDATE certificates SET ca_told_at = ?, ca_unable = ?
WHERE sha256 = ? AND revoked_at IS NOT NULL AND ca_told_at IS NULL"""
_LATEST = "SELECT COALESCE(MAX(revoked_number), 0) FROM certificates WHERE revoked_number IS NOT NULL"
# RFC 5280, 3.3: an entry stays until a CRL issued after its certificate's end has shown it once.
_REVOKED = """
SELECT serial, revoked_at, revoked_reason FROM certificates
WHERE revoked_number IS NOT NULL AND authority_key = ? AND revoked_shard = ? AND not_after > ?
ORDER BY revoked_number"""
_NEXT_TO_TELL = """
SELECT authority_key, authority FROM certificates
WHERE revoked_at IS NOT NULL AND ca_told_at IS NULL AND authority_key > ? ORDER BY authority_key LIMIT 1"""
_TO_TELL = f"""{sql.CERTIFICATE_COLUMNS}
WHERE revoked_at IS NOT NULL AND ca_told_at IS NULL AND authority_key = ? AND id > ? ORDER BY id LIMIT ?"""

_GRACE_S = 8 * 86_400


def _revoke(change: c.RevokeCertificate, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    told_at = change.revoked_at if change.ca_knows else None
    values = (change.revoked_at, change.reason.value, told_at, change.mass_revocation, change.sha256)
    unit.steps.append((REVOKE, values, 1, change))


def _told(change: c.SettleRevocation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.steps.append((_TOLD, (change.told_at, int(change.unable), change.sha256), 1, change))
    mass_revocations.count_settled(change, unit)


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    c.RevokeCertificate: _revoke,
    c.SettleRevocation: _told,
}


class RevocationReads(CertificateReads, ReservedSerialReads):
    """The reading half of the store for revocations."""

    async def latest_revocation(self) -> int:
        return int((await self._rows(_LATEST, ()))[0][0]) + await self._lost_count()

    async def revoked(self, authority: AuthorityName, shard: int, now: int) -> Sequence[Revoked]:
        found = await self._rows(_REVOKED, (authority.key, shard, now - _GRACE_S))
        lost = await self._lost_serials(authority, now - _GRACE_S)
        return [
            *(
                Revoked(int.from_bytes(serial, "big", signed=True), at, RevocationReason(reason))
                for serial, at, reason in found
            ),
            *(each for each in lost if each.serial % CRL_SHARDS == shard),
        ]

    async def authorities_to_tell(self) -> Sequence[AuthorityName]:
        found: list[AuthorityName] = []
        # From one to the next by the index: there may be a million entries of each.
        while (row := await self._row(_NEXT_TO_TELL, (found[-1].key if found else "",))) is not None:
            key, text = row
            found.append(AuthorityName(text, key))
        return found

    async def revocations_to_tell(
        self, authority: AuthorityName, cursor: str | None, limit: int
    ) -> Page[CertificateRecord]:
        limit = paging.bounded(limit)
        listing = f"to-tell-{authority.key}"
        found = await self._rows(_TO_TELL, (authority.key, paging.after_id(cursor, listing), limit + 1))
        above = await self._above(found)
        return paging.page(found, limit, lambda row: rows.certificate(row, above), paging.row_id, listing)
