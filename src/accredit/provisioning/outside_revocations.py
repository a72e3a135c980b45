"""Outside revocations: what was revoked here is revoked at the CA that issued it, some time after.

A revocation is good at our hubs as soon as it is committed; the CA is told by this worker, again and again until it has
answered, also after a restart. A CA whose connector can't revoke is said so once, and the entry is settled: the
certificate stays refused here.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum, auto

from accredit.domain.changes import SettleRevocation
from accredit.domain.credential import CertificateRecord, RevocationReason
from accredit.domain.errors import AccreditError, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.domain.subjects import Subject
from accredit.interfaces import Authorities, Authority, Clock, Revokes, Stale, Store, StoreUnavailable
from accredit.observe import log
from accredit.policy.retry import AUTHORITY_RETRY
from accredit.processes import Bus, Leases
from accredit.provisioning.leases import Alone

_AT_ONCE = 100
_CALLS = 4
"""At most so many are told to one CA at a time."""
_IDLE_S = 300.0
_IDLE_SHARED_S = 5.0

DUTY = "outside revocations"


class _Answer(Enum):
    """Silent: it may be down, and others need not be tried. Refused: this one alone it does not take."""

    SETTLED = auto()
    REFUSED = auto()
    SILENT = auto()


class OutsideRevocations:
    """`wake` it after a commit that has revoked something of an outside CA."""

    def __init__(
        self,
        store: Store,
        authorities: Authorities,
        clock: Clock,
        leases: Leases | None = None,
        bus: Bus | None = None,
    ) -> None:
        """Without `leases` and `bus` there is no other process."""
        self._bus = bus
        self._leases = leases if leases is not None else Alone(clock)
        self._store = store
        self._authorities = authorities
        self._clock = clock
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._bus is not None:
            self._bus.hear(Subject.REVOCATIONS, lambda _: self._woken.set())
        self._task = asyncio.create_task(self._watch(), name="outside revocations")

    async def stop(self) -> None:
        """What is not told is told by the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        self._woken.set()
        if self._bus is not None:
            self._bus.tell(Subject.REVOCATIONS)

    async def _watch(self) -> None:
        failures = 0
        while True:
            self._woken.clear()
            try:
                if not await self._leases.mine(DUTY) or await self.tell():
                    failures = 0
                else:
                    failures += 1
            except StoreUnavailable:
                log.warning("store-unavailable", work="outside-revocations")
                failures += 1
            except Exception:  # noqa: BLE001 - logged with its trace, and tried again
                log.exception("outside-revocations-failed")
                failures += 1
            idle_s = _IDLE_SHARED_S if self._leases.shared else _IDLE_S
            wait_s = AUTHORITY_RETRY.wait_s(failures, 0.0) if failures else idle_s
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def tell(self) -> bool:
        """Go through what is to be told once; True when nothing is left. Raises StoreUnavailable."""
        waiting = await self._store.authorities_to_tell()
        return all(await asyncio.gather(*map(self._told_all, waiting)))

    async def _told_all(self, name: AuthorityName) -> bool:
        """One CA; none that is down holds up another. What it does not take now is left for the next time."""
        authority = await self._authorities.get(name)
        cursor, all_told = None, True
        while True:
            page = await self._store.revocations_to_tell(name, cursor, _AT_ONCE)
            for start in range(0, len(page.rows), _CALLS):
                batch = page.rows[start : start + _CALLS]
                answers = await asyncio.gather(*(self._told(authority, record) for record in batch))
                all_told = all_told and all(answer is _Answer.SETTLED for answer in answers)
                if all(answer is _Answer.SILENT for answer in answers):
                    return False
            cursor = page.cursor
            if cursor is None:
                return all_told

    async def _told(self, authority: Authority | None, record: CertificateRecord) -> _Answer:
        unable = not isinstance(authority, Revokes)
        if isinstance(authority, Revokes):
            reason = record.revocation.reason if record.revocation else RevocationReason.UNSPECIFIED
            try:
                await authority.revoke(record.issued, reason)
            except AccreditError as failure:
                self._log(record, "postponed", failure.message, failure.rule)
                return _Answer.SILENT if isinstance(failure, UpstreamUnavailable) else _Answer.REFUSED
            self._log(record, "revoked")
        else:
            self._log(record, "unsupported", "this CA can't be told; revoke it there by hand")
        settled = SettleRevocation(record.issued.sha256, int(self._clock.now()), unable)
        with contextlib.suppress(Stale):  # another process was quicker
            await self._store.commit([settled])
        return _Answer.SETTLED

    def _log(self, record: CertificateRecord, outcome: str, reason: str = "", rule: str = "") -> None:
        log.warning(
            "certificate-revoked-outside",
            authority=record.authority.text,
            serial=f"{record.issued.serial:X}",
            registrationId=record.registration_id.text,
            outcome=outcome,
            reason=reason,
            rule=rule,
        )
