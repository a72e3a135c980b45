"""The embedded store: `interfaces.Store` on one SQLite file (WAL, synchronous=FULL).

Reads run in the event loop's thread on a connection of their own: a point read is cheaper than handing it to a
thread. Writes are made into units here and committed by `group_commit.py`. That one process owns the file is the
caller's to see to; that the file belongs to its owner alone, this file's.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from accredit.domain.access import Policy, Realm
from accredit.domain.authority import AuthorityRecord
from accredit.domain.changes import Change
from accredit.domain.credential import CertificateRecord
from accredit.domain.device import Binding, HubDevice
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.issuance_log import Leaf
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.registration import Operation, Registration
from accredit.domain.release import Release
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmProof
from accredit.interfaces import LAST_KEY, HubUsers, Page, StoreUnavailable
from accredit.seal import Sealer
from accredit.stores import hub_rows, hub_statements, paging, rows, schema, sealed_rows
from accredit.stores import statements as sql
from accredit.stores.caches import Cache
from accredit.stores.custody import CustodyReads
from accredit.stores.group_commit import GroupCommit
from accredit.stores.hub_units import naming_patterns
from accredit.stores.log_tree import LogTreeReads
from accredit.stores.one_time_passwords import OneTimePasswordReads
from accredit.stores.refusals import RefusalReads
from accredit.stores.revocations import RevocationReads
from accredit.stores.steps import Step, UnitOfWork
from accredit.stores.trust import TrustReads
from accredit.stores.units import Units

BUSY_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 0.25
_FORGOTTEN_AT_ONCE = 500
_MAX_CHAINS = 1024


class SqliteStore(
    RefusalReads, LogTreeReads, RevocationReads, TrustReads, CustodyReads, OneTimePasswordReads
):
    """Make one with `open`, in the event loop that uses it."""

    def __init__(self, path: Path, sealer: Sealer, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """`path` is a database that `schema.migrate` has seen."""
        self._sealer = sealer
        self._units = Units(sealer)
        self._cache = Cache()
        self._chains: dict[bytes, tuple[bytes, ...]] = {}
        # The reader's pages are good until the next commit only; the writer's stay good.
        writing = _connection(path, busy_timeout_s, "cache_size = -32768", "wal_autocheckpoint = 2000")
        self._reading = _connection(
            path, min(busy_timeout_s, _READ_TIMEOUT_S), "cache_size = -4096", "query_only = ON"
        )
        self._read = self._reading.cursor().execute
        self._writer = GroupCommit(writing, self._committed, busy_timeout_s)

    @classmethod
    async def open(cls, path: Path, sealer: Sealer, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Self:
        """Make or migrate the database, and open it. Raises schema.DatabaseUnusable."""
        try:
            # The files that SQLite puts beside it take their mode from it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise schema.DatabaseUnusable(
                f"The database {path} can't be opened: {error.strerror}."
            ) from error
        schema.migrate(path)
        try:
            return cls(path, sealer, busy_timeout_s)
        except sqlite3.Error as error:
            raise schema.DatabaseUnusable(f"The database {path} can't be used: {error}.") from error

    async def commit(self, unit: Sequence[Change]) -> None:
        await self._writer.submit(self._units.make(unit))

    async def close(self) -> None:
        # The writer's connection goes last: the last one to close folds the log into the database.
        self._reading.close()
        await self._writer.close()

    async def state(self, name: str) -> Secret | None:
        row = self._row(sql.STATE, (name,))
        return None if row is None else sealed_rows.state(name, row[0], self._sealer)

    async def policy(self, realm: Realm, name: str) -> Policy | None:
        def stored() -> Policy | None:
            row = self._row(sql.POLICY, (realm.value, name))
            return None if row is None else sealed_rows.policy(row, self._sealer)

        return self._cache.remembered((Policy, realm, name), stored)

    async def policies(self, realm: Realm) -> Sequence[Policy]:
        found = self._rows(sql.POLICIES, (realm.value,))
        return [sealed_rows.policy(row, self._sealer) for row in found]

    async def policies_page(self, realm: Realm, cursor: str | None, limit: int) -> Page[Policy]:
        limit = paging.bounded(limit)
        listing = f"policies-{realm}"
        found = self._rows(sql.POLICIES_PAGE, (realm.value, paging.after_key(cursor, listing), limit + 1))
        return paging.page(found, limit, self._policy, lambda row: row[1], listing)

    async def authority(self, name: AuthorityName) -> AuthorityRecord | None:
        def stored() -> AuthorityRecord | None:
            row = self._row(sql.AUTHORITY, (name.key,))
            return None if row is None else sealed_rows.authority(row, self._sealer)

        return self._cache.remembered((AuthorityRecord, name.key), stored)

    async def authorities(self, cursor: str | None, limit: int) -> Page[AuthorityRecord]:
        limit = paging.bounded(limit)
        found = self._rows(sql.AUTHORITIES, (paging.after_key(cursor, "authorities"), limit + 1))
        return paging.page(found, limit, self._authority, lambda row: row[0].lower(), "authorities")

    async def enrollment(self, ref: EnrollmentRef) -> Enrollment | None:
        def stored() -> Enrollment | None:
            row = self._row(sql.ENROLLMENT, (ref.kind.value, ref.key))
            return None if row is None else self._enrollment(row)

        if ref.kind is EnrollmentKind.GROUP:
            return self._cache.remembered((Enrollment, ref.key), stored)
        return stored()

    async def enrollments(
        self, kind: EnrollmentKind, cursor: str | None, limit: int, low: str = "", high: str = LAST_KEY
    ) -> Page[Enrollment]:
        limit = paging.bounded(limit)
        listing = f"enrollments-{kind}"
        first = paging.first_key(cursor, listing, low)
        found = self._rows(sql.ENROLLMENTS, (kind.value, first, high, limit + 1))
        return paging.page(found, limit, self._enrollment, lambda row: row[1], listing)

    async def symmetric_groups(self) -> Sequence[Enrollment]:
        def stored() -> Sequence[Enrollment]:
            return tuple(map(self._enrollment, self._rows(sql.SYMMETRIC_GROUPS, ())))

        return self._cache.remembered(sql.SYMMETRIC_GROUPS, stored)

    async def groups_named(self, subject_sha256: Sequence[bytes]) -> Sequence[Enrollment]:
        return self._groups_of(sql.GROUPS_NAMED, subject_sha256)

    async def enrollments_using(self, name: AuthorityName) -> int:
        return self._count(sql.ENROLLMENTS_USING, (name.key,)) + await self.enrollments_naming(name)

    async def registration(self, registration_id: RegistrationId) -> Registration | None:
        row = self._row(sql.REGISTRATION, (registration_id.key,))
        return None if row is None else rows.registration(row)

    async def registrations(
        self, enrollment: EnrollmentRef | None, cursor: str | None, limit: int
    ) -> Page[Registration]:
        limit = paging.bounded(limit)
        rest = (paging.after_id(cursor, "registrations"), limit + 1)
        if enrollment is None:
            found = self._rows(sql.REGISTRATIONS, rest)
        elif enrollment.kind is EnrollmentKind.GROUP:
            found = self._rows(sql.REGISTRATIONS_OF_GROUP, (enrollment.key, *rest))
        else:
            found = self._rows(sql.REGISTRATIONS_OF_INDIVIDUAL, (enrollment.key, *rest))
        return paging.page(found, limit, rows.registration, _id, "registrations")

    async def tpm_proof(self, registration_id: RegistrationId) -> TpmProof | None:
        row = self._row(sql.TPM_PROOF, (registration_id.key,))
        return None if row is None else rows.tpm_proof(row)

    async def registrations_between(
        self, low: str, high: str, cursor: str | None, limit: int
    ) -> Page[Registration]:
        limit = paging.bounded(limit)
        listing = "registrations-by-id"
        first = paging.first_key(cursor, listing, low)
        found = self._rows(sql.REGISTRATIONS_BETWEEN, (first, high, limit + 1))
        return paging.page(found, limit, rows.registration, lambda row: row[1], listing)

    async def operation(self, operation_id: str) -> Operation | None:
        row = self._row(sql.OPERATION, (operation_id,))
        return None if row is None else rows.operation(row)

    async def open_operation(self, registration_id: RegistrationId) -> Operation | None:
        row = self._row(sql.OPEN_OPERATION, (registration_id.key,))
        return None if row is None else rows.operation(row)

    async def renewals(self, registration_id: RegistrationId) -> Sequence[Operation]:
        return [rows.operation(row) for row in self._rows(sql.RENEWALS, (registration_id.key,))]

    async def newest_operation(self, registration_id: RegistrationId) -> Operation | None:
        row = self._row(sql.NEWEST_OPERATION, (registration_id.key,))
        return None if row is None else rows.operation(row)

    async def open_operations(self) -> Sequence[Operation]:
        return [rows.operation(row) for row in self._rows(sql.OPEN_OPERATIONS, ())]

    async def unsettled_operations(self) -> Sequence[Operation]:
        return [rows.operation(row) for row in self._rows(sql.UNSETTLED_OPERATIONS, ())]

    async def forget_operations(self, before: int) -> None:
        # In portions, so that registrations can be committed between them.
        portion = UnitOfWork([(sql.FORGET_OPERATIONS, (before, _FORGOTTEN_AT_ONCE), None, None)])
        while self._row(sql.FORGETTABLE_OPERATION, (before,)) is not None:
            await self._writer.submit(portion)

    async def certificate(self, sha256: bytes) -> CertificateRecord | None:
        row = self._row(sql.CERTIFICATE, (sha256,))
        return None if row is None else self._certificate(row)

    async def certificates_of_key(self, spki_sha256: bytes) -> Sequence[CertificateRecord]:
        return [self._certificate(row) for row in self._rows(sql.CERTIFICATES_OF_KEY, (spki_sha256,))]

    async def certificates_with_serial(self, serial: int) -> Sequence[CertificateRecord]:
        values = (rows.serial_value(serial),)
        return [self._certificate(row) for row in self._rows(sql.CERTIFICATES_WITH_SERIAL, values)]

    async def serial_known(self, authority: AuthorityName, serial: int) -> bool:
        return self._row(sql.SERIAL_KNOWN, (rows.serial_value(serial), authority.key)) is not None

    async def certificates(
        self, registration_id: RegistrationId | None, cursor: str | None, limit: int
    ) -> Page[CertificateRecord]:
        limit = paging.bounded(limit)
        rest = (paging.after_id(cursor, "certificates"), limit + 1)
        if registration_id is None:
            found = self._rows(sql.CERTIFICATES, rest)
        else:
            found = self._rows(sql.CERTIFICATES_OF_REGISTRATION, (registration_id.key, *rest))
        return paging.page(found, limit, self._certificate, _id, "certificates")

    async def leaves(self, cursor: str | None, limit: int) -> Page[Leaf]:
        limit = paging.bounded(limit)
        found = self._rows(sql.LEAVES, (paging.after_id(cursor, "leaves"), limit + 1))
        return paging.page(found, limit, rows.leaf, _id, "leaves")

    async def linked_hubs(self) -> Sequence[LinkedHub]:
        def stored() -> tuple[Sequence[LinkedHub]]:
            found = self._rows(hub_statements.LINKED_HUBS, ())
            return (tuple(hub_rows.linked_hub(row, self._sealer) for row in found),)

        # In a tuple of its own, so that having none is remembered too.
        return self._cache.remembered(hub_statements.LINKED_HUBS, stored)[0]

    async def hub_users(self, hub: LinkedHub) -> HubUsers:
        return HubUsers(
            self._count(hub_statements.HUB_REGISTRATIONS, (hub.name.lower(),)),
            self._count(hub_statements.HUB_ENROLLMENTS, naming_patterns(hub)),
            self._count(hub_statements.HUB_DEVICE_COUNTS, (hub.key,)),
        )

    async def hub_device(self, hub: str, device_id: DeviceId) -> HubDevice | None:
        row = self._row(hub_statements.HUB_DEVICE, (hub, device_id.text))
        return None if row is None else hub_rows.hub_device(row, self._sealer)

    async def hub_devices(self, hub: str, limit: int) -> Sequence[HubDevice]:
        found = self._rows(hub_statements.HUB_DEVICES, (hub, limit))
        return [hub_rows.hub_device(row, self._sealer) for row in found]

    async def hub_device_counts(self, hub: str) -> tuple[int, int]:
        row = self._row(hub_statements.HUB_DEVICE_COUNTS, (hub,))
        assert row is not None
        return row[0], row[1]

    async def releases(self, limit: int) -> Sequence[Release]:
        return [hub_rows.release(row) for row in self._rows(hub_statements.RELEASES, (limit,))]

    async def release_due(self, hub: str, device_id: DeviceId) -> bool:
        return self._row(hub_statements.RELEASE_DUE, (hub, device_id.text)) is not None

    async def bindings(self, registration_id: RegistrationId, device_id: DeviceId) -> Sequence[Binding]:
        found = self._rows(sql.BINDINGS, (registration_id.key, device_id.text))
        return [rows.binding(row) for row in found]

    def _count(self, text: str, values: tuple[Any, ...]) -> int:
        row = self._row(text, values)
        assert row is not None
        return int(row[0])

    async def _submit(self, step: Step) -> None:
        await self._writer.submit(UnitOfWork([step]))

    def _row(self, text: str, values: tuple[Any, ...]) -> rows.Row | None:
        found = self._rows(text, values)
        return found[0] if found else None

    def _rows(self, text: str, values: tuple[Any, ...]) -> list[rows.Row]:
        # Read to the end at once: a statement left half-way would keep an old view of the database open.
        try:
            return self._read(text, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def _enrollment(self, row: rows.Row) -> Enrollment:
        return sealed_rows.enrollment(row, self._sealer)

    def _policy(self, row: rows.Row) -> Policy:
        return sealed_rows.policy(row, self._sealer)

    def _authority(self, row: rows.Row) -> AuthorityRecord:
        return sealed_rows.authority(row, self._sealer)

    def _certificate(self, row: rows.Row) -> CertificateRecord:
        return rows.certificate(row, self._chain)

    def _chain(self, sha256: bytes | None) -> tuple[bytes, ...]:
        if sha256 is None:
            return ()
        known = self._chains.get(sha256)
        if known is None:
            row = self._row(sql.CHAIN, (sha256,))
            assert row is not None
            known = rows.chain(row[0])
            if len(self._chains) >= _MAX_CHAINS:
                self._chains.clear()
            self._chains[sha256] = known
        return known

    def _groups_of(self, text: str, digests: Sequence[bytes]) -> Sequence[Enrollment]:
        groups = {group.id.key: group for digest in digests for group in self._groups_with(text, digest)}
        return [groups[key] for key in sorted(groups)]

    def _groups_with(self, text: str, digest: bytes) -> Sequence[Enrollment]:
        def stored() -> Sequence[Enrollment]:
            return tuple(map(self._enrollment, self._rows(text, (digest, digest, digest))))

        return self._cache.remembered((text, digest), stored)

    def _committed(self, unit: UnitOfWork) -> None:
        self._units.committed(unit)
        if unit.touches_settings:
            self._cache.forget()
        if unit.touches_setbacks:
            self._nobody_has_setbacks = False


def _id(row: rows.Row) -> int:
    return int(row[0])


def _connection(path: Path, busy_timeout_s: float, *pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=128
    )
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY", *pragmas):
        connection.execute(f"PRAGMA {pragma}")
    return connection
