"""Revoke a whole enrollment group, or a certificate authority, with its devices: begin it, and see how far it is.

In one unit the group is switched off, or the authority stopped, and the revocation is put on record: from then on nothing
new gets in, and nobody of those that it covers opens a hub. The devices follow one portion after the other
(`mass_revoker.py`). Beginning one that is under way is as once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from accredit.administration import names
from accredit.administration.authority_keys import KeepsKeys
from accredit.administration.preconditions import repeated
from accredit.domain.authority import REVOKED_AT, REVOKED_REASON, AuthorityRecord
from accredit.domain.changes import Change, SaveAuthority, SaveEnrollment
from accredit.domain.credential import CertificateRecord
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.ids import AuthorityName, GroupId
from accredit.domain.mass_revocation import (
    AtAuthority,
    AuthorityTally,
    BeginMassRevocation,
    MassRevocation,
    RevokedIssuer,
)
from accredit.interfaces import Clock, Entropy, Page, Store
from accredit.observe import log
from accredit.values import dataclass, replace
from accredit.wire.instants import iso
from accredit.wire.service_api.mass_revocations import AuthorityRevocation, GroupRevocation
from accredit.wire.service_api.queries import Paging


@dataclass(frozen=True, slots=True)
class MassRevocations:
    """`keepers` by the types of authority that have keys of our own; `begun` is told the id of one that is to be carried out."""

    store: Store
    clock: Clock
    entropy: Entropy
    keepers: Mapping[str, KeepsKeys]
    begun: Callable[[str], None]

    async def of_group(self, group: GroupId, sent: GroupRevocation, by: str) -> MassRevocation:
        """Raises NotFound."""
        return await self._begun(await repeated(lambda: self._of_group(group, sent, by)))

    async def of_authority(self, name: AuthorityName, sent: AuthorityRevocation, by: str) -> MassRevocation:
        """Raises NotFound, and Conflict where one issuing CA is named of an authority that is not ours."""
        return await self._begun(await repeated(lambda: self._of_authority(name, sent, by)))

    async def read(self, revocation_id: str) -> tuple[MassRevocation, Sequence[AuthorityTally]]:
        """It and what became of its certificates at their CAs. Raises NotFound."""
        found = await self.store.mass_revocation(revocation_id)
        if found is None:
            raise NotFound("There is no such revocation.", rule="mass-revocation-unknown")
        return found, await self.store.mass_revocation_tallies(revocation_id)

    async def page(self, paging: Paging) -> Page[MassRevocation]:
        return await self.store.mass_revocations(paging.cursor, paging.limit)

    async def certificates(
        self, revocation_id: str, paging: Paging
    ) -> Page[tuple[CertificateRecord, AtAuthority]]:
        """What was revoked, and how far the CA of each is. Raises NotFound."""
        await self.read(revocation_id)
        return await self.store.certificates_revoked_by(revocation_id, paging.cursor, paging.limit)

    async def _begun(self, revocation: MassRevocation) -> MassRevocation:
        self.begun(revocation.id)
        return revocation

    async def _of_group(self, group: GroupId, sent: GroupRevocation, by: str) -> MassRevocation:
        ref = EnrollmentRef(EnrollmentKind.GROUP, group.key)
        present = await self.store.enrollment(ref)
        if present is None:
            raise NotFound("There is no such enrollment group.", rule="enrollment-unknown")
        under_way = await self._under_way(group)
        if under_way is not None:
            return under_way
        now = int(self.clock.now())
        assert isinstance(present.id, GroupId)
        made = MassRevocation(
            id=names.etag(self.entropy),
            target=present.id,
            reason=sent.reason,
            started_by=by,
            started_at=now,
            total=await self.store.rows_to_revoke(present.id),
        )
        # Saved also where it is off already: what a registration rests on is the etag.
        off = replace(present, enabled=False, etag=names.etag(self.entropy), updated_at=now)
        return await self._commit(made, SaveEnrollment(off, present.etag))

    async def _of_authority(self, name: AuthorityName, sent: AuthorityRevocation, by: str) -> MassRevocation:
        present = await self.store.authority(name)
        if present is None:
            raise NotFound("There is no such certificate authority.", rule="authority-unknown")
        under_way = await self._under_way(name)
        if under_way is not None:
            return under_way
        now = int(self.clock.now())
        stopped, issuers = self._stopped(present, sent, now)
        made = MassRevocation(
            id=names.etag(self.entropy),
            target=present.name,
            reason=sent.reason,
            started_by=by,
            started_at=now,
            total=await self.store.rows_to_revoke(present.name),
            issuers=issuers,
            keeps_devices=sent.keeps_devices,
        )
        saved = replace(
            stopped,
            version=names.generation(self.entropy),
            etag=names.etag(self.entropy),
            updated_at=now,
        )
        return await self._commit(made, SaveAuthority(saved, present.etag))

    def _stopped(
        self, present: AuthorityRecord, sent: AuthorityRevocation, now: int
    ) -> tuple[AuthorityRecord, tuple[RevokedIssuer, ...]]:
        """The record of an authority that signs no more, and which issuing CAs of our own its root has revoked."""
        keeper = self.keepers.get(present.type)
        if keeper is None:
            if sent.key_id is not None:
                raise Conflict(
                    f"The issuing CAs of a {present.type} authority are not this service's.",
                    rule="authority-keys-elsewhere",
                    hint="revoke the whole authority, without keyId",
                )
            marks = {REVOKED_AT: iso(now), REVOKED_REASON: sent.reason.value}
            return replace(present, settings=marks | present.settings), ()
        issuers = tuple(
            each for each in keeper.issuers(present) if sent.key_id is None or each.key_id == sent.key_id
        )
        if not issuers:
            raise NotFound("The authority has no such issuing CA.", rule="ca-issuer-unknown")
        stopped = present
        for each in issuers:
            stopped = keeper.revoke(stopped, each.key_id, sent.reason, now)
        return stopped, issuers

    async def _under_way(self, target: GroupId | AuthorityName) -> MassRevocation | None:
        for each in await self.store.open_mass_revocations():
            if type(each.target) is type(target) and each.target == target:
                found = await self.store.mass_revocation(each.id)
                # It may have ended since that list was made.
                return found if found is not None and found.ended_at is None else None
        return None

    async def _commit(self, made: MassRevocation, stop: Change) -> MassRevocation:
        await self.store.commit([stop, BeginMassRevocation(made)])
        log.warning(
            "mass-revocation-begun",
            by=made.started_by,
            revocationId=made.id,
            target=made.target.text,
            reason=made.reason.value,
            rows=made.total,
        )
        return made
