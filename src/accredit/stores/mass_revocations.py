"""Mass revocations in the store: the changes that begin and advance one, whom one covers, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from accredit.domain import changes as c
from accredit.domain.credential import CertificateRecord, RevocationReason
from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.ids import AuthorityName, GroupId, RegistrationId
from accredit.domain.mass_revocation import (
    AdvanceMassRevocation,
    AtAuthority,
    AuthorityTally,
    BeginMassRevocation,
    MassRevocation,
    Portion,
    RevokedIssuer,
    Tally,
)
from accredit.interfaces import Page
from accredit.stores import paging, rows
from accredit.stores.certificate_reads import CertificateReads
from accredit.stores.steps import UnitOfWork

_KINDS: dict[str, type[GroupId | AuthorityName]] = {"group": GroupId, "authority": AuthorityName}
_ASKED_AT_ONCE = 100

_COLUMNS = """
SELECT
  id, name, kind, target_key, target, reason, started_by, started_at, total, issuers, keeps_devices, position, seen,
  devices, identities, operations, connections, certificates, ended_at
FROM mass_revocations"""
_ONE = f"{_COLUMNS} WHERE name = ?"
_LISTING = f"{_COLUMNS} WHERE id > ? ORDER BY id LIMIT ?"
_OPEN_ONES = f"{_COLUMNS} WHERE ended_at IS NULL ORDER BY kind, target_key"
_TALLIES = """
SELECT authority_key, authority, certificates, revoked, unable
FROM mass_revocation_authorities WHERE mass_revocation = ? ORDER BY authority_key"""
_ITS_CERTIFICATES = """
SELECT
  id, sha256, spki_sha256, serial, authority, authority_version, profile, registration_key, registration, device_id,
  enrollment_generation, csr_sha256, operation_id, ca_reference, not_before, not_after, issued_at, leaf,
  chain_sha256, binding, revoked_at, revoked_reason, ca_told_at, ca_unable
FROM certificates WHERE mass_revocation = ? AND id > ? ORDER BY id LIMIT ?"""

_MEMBERS = """
SELECT COUNT(*) FROM registrations WHERE enrollment_kind = 'group' AND enrollment_key = ?"""
_LAST_CERTIFICATE = "SELECT COALESCE(MAX(id), 0) FROM certificates"
_MEMBERS_PORTION = """
SELECT id, registration_key, registration FROM registrations
WHERE enrollment_kind = 'group' AND enrollment_key = ? AND id > ? ORDER BY id LIMIT ?"""
# No index by authority: it would cost each registration a page, and portions of the whole are read in milliseconds.
_CERTIFICATES_PORTION = """
SELECT id, registration_key, registration, authority_key, chain_sha256, revoked_at FROM certificates
WHERE id > ? ORDER BY id LIMIT ?"""

_OWNERS = f"""
SELECT registration_key, enrollment_kind, enrollment_key FROM registrations
WHERE registration_key IN ({", ".join("?" * _ASKED_AT_ONCE)})"""  # noqa: S608 - question marks
_SIGNERS = f"""
SELECT registration_key, authority_key, chain_sha256 FROM certificates
WHERE registration_key IN ({", ".join("?" * _ASKED_AT_ONCE)}) AND binding IN ('pending', 'active')
  AND revoked_at IS NULL"""  # noqa: S608 - question marks

_BEGIN = """
INSERT INTO mass_revocations (
  name, kind, target_key, target, reason, started_by, started_at, total, issuers, keeps_devices, position, seen,
  devices, identities, operations, connections, certificates)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING"""
_ADVANCE = """
UPDATE mass_revocations SET
  position = ?, seen = seen + ?, devices = devices + ?, identities = identities + ?, operations = operations + ?,
  connections = connections + ?, certificates = certificates + ?, ended_at = ?
WHERE name = ? AND position = ? AND ended_at IS NULL"""
_COUNT = """
INSERT INTO mass_revocation_authorities (
  mass_revocation, authority_key, authority, certificates, revoked, unable)
VALUES (?, ?, ?, ?, ?, 0)
ON CONFLICT (mass_revocation, authority_key) DO UPDATE SET
  certificates = mass_revocation_authorities.certificates + excluded.certificates,
  revoked = mass_revocation_authorities.revoked + excluded.revoked"""
_COUNT_SETTLED = """
UPDATE mass_revocation_authorities SET revoked = revoked + ?, unable = unable + ?
WHERE mass_revocation = (SELECT mass_revocation FROM certificates WHERE sha256 = ?)
  AND authority_key = (SELECT authority_key FROM certificates WHERE sha256 = ?)"""


def _begin(change: BeginMassRevocation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    unit.touches_copies = True
    made = change.revocation
    values = (
        made.id,
        _kind(made),
        made.target.key,
        made.target.text,
        made.reason.value,
        made.started_by,
        made.started_at,
        made.total,
        msgspec.json.encode(made.issuers).decode(),
        int(made.keeps_devices),
    )
    unit.steps.append((_BEGIN, values, 1, change))


def _advance(change: AdvanceMassRevocation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    step, done = change.progress, change.progress.done
    ended_at = None
    if step.next is None:
        unit.touches_copies = True
        ended_at = change.at
    values = (
        step.next or change.position or "",
        step.seen,
        done.devices,
        done.identities,
        done.operations,
        done.connections,
        done.certificates,
        ended_at,
        change.revocation_id,
        change.position or "",
    )
    unit.steps.append((_ADVANCE, values, 1, change))
    for authority, (certificates, settled) in step.certificates.items():
        counted = (change.revocation_id, authority.key, authority.text, certificates, settled)
        unit.steps.append((_COUNT, counted, None, change))


def count_settled(change: c.SettleRevocation, unit: UnitOfWork) -> None:
    """What a CA answered counts for the mass revocation that the certificate is a part of, if any."""
    values = (int(not change.unable), int(change.unable), change.sha256, change.sha256)
    unit.steps.append((_COUNT_SETTLED, values, None, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    BeginMassRevocation: _begin,
    AdvanceMassRevocation: _advance,
}


class MassRevocationReads(CertificateReads):
    """The reading half of the store for mass revocations."""

    async def mass_revocation(self, revocation_id: str) -> MassRevocation | None:
        row = await self._row(_ONE, (revocation_id,))
        return None if row is None else _revocation(row)

    async def mass_revocations(self, cursor: str | None, limit: int) -> Page[MassRevocation]:
        limit = paging.bounded(limit)
        found = await self._rows(_LISTING, (paging.after_id(cursor, "mass-revocations"), limit + 1))
        return paging.page(found, limit, _revocation, paging.row_id, "mass-revocations")

    async def open_mass_revocations(self) -> Sequence[MassRevocation]:
        known: tuple[Sequence[MassRevocation]] | None = self._cache.get(_OPEN_ONES)
        if known is None:
            known = await self._cache.filled(_OPEN_ONES, self._open_ones())
        return known[0]

    async def _open_ones(self) -> tuple[Sequence[MassRevocation]]:
        # In a tuple of its own, so that there being none is remembered too.
        return (tuple(map(_revocation, await self._rows(_OPEN_ONES, ()))),)

    async def mass_revocation_tallies(self, revocation_id: str) -> Sequence[AuthorityTally]:
        found = await self._rows(_TALLIES, (revocation_id,))
        return [AuthorityTally(AuthorityName(text, key), *counts) for key, text, *counts in found]

    async def certificates_revoked_by(
        self, revocation_id: str, cursor: str | None, limit: int
    ) -> Page[tuple[CertificateRecord, AtAuthority]]:
        limit = paging.bounded(limit)
        listing = "revoked-certificates"
        after = paging.after_id(cursor, listing)
        found = await self._rows(_ITS_CERTIFICATES, (revocation_id, after, limit + 1))
        above = await self._above([row[:-2] for row in found])

        def revoked_one(row: rows.Row) -> tuple[CertificateRecord, AtAuthority]:
            return rows.certificate(row[:-2], above), _at_authority(*row[-2:])

        return paging.page(found, limit, revoked_one, paging.row_id, listing)

    async def rows_to_revoke(self, target: GroupId | AuthorityName) -> int:
        if isinstance(target, GroupId):
            return await self._count(_MEMBERS, (target.key,))
        return await self._count(_LAST_CERTIFICATE, ())

    async def portion_to_revoke(
        self, revocation: MassRevocation, position: str | None, limit: int
    ) -> Portion:
        after = int(position or 0)
        if isinstance(revocation.target, GroupId):
            found = await self._rows(_MEMBERS_PORTION, (revocation.target.key, after, limit))
            owners = [RegistrationId(text, key) for _, key, text in found]
        else:
            found = await self._rows(_CERTIFICATES_PORTION, (after, limit))
            owners = [
                RegistrationId(text, key)
                for _, key, text, authority_key, chain, revoked_at in found
                if revoked_at is None and await self._is_covered(revocation, authority_key, chain)
            ]
        following = str(found[-1][0]) if found else None
        return Portion(tuple(dict.fromkeys(owners)), following, len(found))

    async def covered(
        self, revocation: MassRevocation, registration_ids: Collection[RegistrationId]
    ) -> frozenset[RegistrationId]:
        wanted = sorted({each.key for each in registration_ids})
        keys: set[str] = set()
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            batch = wanted[start : start + _ASKED_AT_ONCE]
            keys |= await self._covered(revocation, (*batch, *batch[-1:] * (_ASKED_AT_ONCE - len(batch))))
        return frozenset(each for each in registration_ids if each.key in keys)

    async def _covered(self, revocation: MassRevocation, keys: tuple[str, ...]) -> set[str]:
        if isinstance(revocation.target, GroupId):
            group = (EnrollmentKind.GROUP.value, revocation.target.key)
            return {key for key, *owner in await self._rows(_OWNERS, keys) if tuple(owner) == group}
        return {
            key
            for key, authority_key, chain in await self._rows(_SIGNERS, keys)
            if await self._is_covered(revocation, authority_key, chain)
        }

    async def _is_covered(self, revocation: MassRevocation, authority_key: str, chain: bytes | None) -> bool:
        if authority_key != revocation.target.key:
            return False
        return revocation.covers(AuthorityName(authority_key, authority_key), await self._chain(chain))


def _at_authority(told_at: int | None, unable: int | None) -> AtAuthority:
    if told_at is None:
        return AtAuthority.PENDING
    return AtAuthority.UNABLE if unable else AtAuthority.REVOKED


def _kind(revocation: MassRevocation) -> str:
    return next(kind for kind, noun in _KINDS.items() if isinstance(revocation.target, noun))


def _revocation(row: rows.Row) -> MassRevocation:
    (_, name, kind, key, text, reason, by, at, total, issuers, keeps, position, seen, *tally, ended_at) = row
    return MassRevocation(
        id=name,
        target=_KINDS[kind](text, key),
        reason=RevocationReason(reason),
        started_by=by,
        started_at=at,
        total=total,
        issuers=msgspec.json.decode(issuers, type=tuple[RevokedIssuer, ...]),
        keeps_devices=bool(keeps),
        position=position or None,
        seen=seen,
        done=Tally(*tally),
        ended_at=ended_at,
    )
