"""Registrations and their operations in the store, as they are read."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.ids import RegistrationId
from accredit.domain.issuance_log import Leaf
from accredit.domain.registration import Operation, Registration
from accredit.domain.tpm import TpmProof
from accredit.interfaces import Page
from accredit.stores import paging, rows
from accredit.stores import statements as sql
from accredit.stores.reading import Reading

_FORGOTTEN_AT_ONCE = 500


class RegistrationReads(Reading):
    """The part of `interfaces.Store` that is about devices on their way."""

    async def registration(self, registration_id: RegistrationId) -> Registration | None:
        row = await self._row(sql.REGISTRATION, (registration_id.key,))
        return None if row is None else rows.registration(row)

    async def registrations(
        self, enrollment: EnrollmentRef | None, cursor: str | None, limit: int
    ) -> Page[Registration]:
        limit = paging.bounded(limit)
        rest = (paging.after_id(cursor, "registrations"), limit + 1)
        if enrollment is None:
            found = await self._rows(sql.REGISTRATIONS, rest)
        elif enrollment.kind is EnrollmentKind.GROUP:
            found = await self._rows(sql.REGISTRATIONS_OF_GROUP, (enrollment.key, *rest))
        else:
            found = await self._rows(sql.REGISTRATIONS_OF_INDIVIDUAL, (enrollment.key, *rest))
        return paging.page(found, limit, rows.registration, paging.row_id, "registrations")

    async def registrations_between(
        self, low: str, high: str, cursor: str | None, limit: int
    ) -> Page[Registration]:
        limit = paging.bounded(limit)
        listing = "registrations-by-id"
        first = paging.first_key(cursor, listing, low)
        found = await self._rows(sql.REGISTRATIONS_BETWEEN, (first, high, limit + 1))
        return paging.page(found, limit, rows.registration, lambda row: row[1], listing)

    async def tpm_proof(self, registration_id: RegistrationId) -> TpmProof | None:
        row = await self._row(sql.TPM_PROOF, (registration_id.key,))
        return None if row is None else rows.tpm_proof(row)

    async def operation(self, operation_id: str) -> Operation | None:
        row = await self._row(sql.OPERATION, (operation_id,))
        return None if row is None else rows.operation(row)

    async def open_operation(self, registration_id: RegistrationId) -> Operation | None:
        row = await self._row(sql.OPEN_OPERATION, (registration_id.key,))
        return None if row is None else rows.operation(row)

    async def renewals(self, registration_id: RegistrationId) -> Sequence[Operation]:
        found = await self._rows(sql.RENEWALS, (registration_id.key,))
        return [rows.operation(row) for row in found]

    async def newest_operation(self, registration_id: RegistrationId) -> Operation | None:
        row = await self._row(sql.NEWEST_OPERATION, (registration_id.key,))
        return None if row is None else rows.operation(row)

    async def open_operations(self) -> Sequence[Operation]:
        return [rows.operation(row) for row in await self._rows(sql.OPEN_OPERATIONS, ())]

    async def unsettled_operations(self) -> Sequence[Operation]:
        return [rows.operation(row) for row in await self._rows(sql.UNSETTLED_OPERATIONS, ())]

    async def forget_operations(self, before: int) -> None:
        # In portions, so that registrations can be committed between them.
        while await self._row(sql.FORGETTABLE_OPERATION, (before,)) is not None:
            await self._submit((sql.FORGET_OPERATIONS, (before, _FORGOTTEN_AT_ONCE), None, None))

    async def leaves(self, cursor: str | None, limit: int) -> Page[Leaf]:
        limit = paging.bounded(limit)
        found = await self._rows(sql.LEAVES, (paging.after_id(cursor, "leaves"), limit + 1))
        return paging.page(found, limit, rows.leaf, paging.row_id, "leaves")
