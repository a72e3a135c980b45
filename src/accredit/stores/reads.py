"""The whole reading half of the store, for any database, and what is left to each: `interfaces.Store` and what the app needs beside it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from accredit.domain.changes import Change
from accredit.stores.certificate_reads import CertificateReads
from accredit.stores.custody import CustodyReads
from accredit.stores.enrollment_reads import EnrollmentReads
from accredit.stores.hub_reads import HubReads
from accredit.stores.leases import LeaseReads
from accredit.stores.log_tree import LogTreeReads
from accredit.stores.mass_revocations import MassRevocationReads
from accredit.stores.one_time_passwords import OneTimePasswordReads
from accredit.stores.refusals import RefusalReads
from accredit.stores.registration_reads import RegistrationReads
from accredit.stores.resealing import Resealing
from accredit.stores.revocations import RevocationReads
from accredit.stores.session_cuts import SessionCutReads
from accredit.stores.steps import UnitOfWork


class StoreReads(
    EnrollmentReads,
    RegistrationReads,
    HubReads,
    RefusalReads,
    LogTreeReads,
    RevocationReads,
    MassRevocationReads,
    CertificateReads,
    CustodyReads,
    OneTimePasswordReads,
    LeaseReads,
    SessionCutReads,
    Resealing,
):
    """A database gives its way to it (`Reading`), `commit` and `close`."""

    @abstractmethod
    async def commit(self, unit: Sequence[Change]) -> None:
        """As `interfaces.Store.commit`."""

    @abstractmethod
    async def close(self) -> None: ...

    def _changed(self, unit: UnitOfWork) -> None:
        """What is remembered of the database follows what this unit has made of it."""
        if unit.touches_copies:
            self._cache.forget()
        if unit.touches_setbacks:
            self._nobody_has_setbacks = False
