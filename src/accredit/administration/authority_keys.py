"""The keys of our own authorities: rotate, activate what somebody else signed, revoke an issuing CA.

What becomes of a record is decided where certificates are made (`KeepsKeys`, handed in); here it is stored, with the
etag that was read. An ordinary rotation keeps the record's version, so that devices keep the certificates they have until
those are due; what was revoked is not given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from accredit.administration import names
from accredit.administration.preconditions import check_present, repeated
from accredit.domain.authority import AuthorityRecord
from accredit.domain.changes import SaveAuthority
from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Conflict
from accredit.domain.ids import AuthorityName
from accredit.domain.mass_revocation import RevokedIssuer
from accredit.interfaces import Clock, Entropy, Store
from accredit.observe import log
from accredit.values import dataclass, replace
from accredit.wire.service_api.authority_keys import Brought, Revocation, Rotation
from accredit.wire.service_api.etags import IfMatch


class KeepsKeys(Protocol):
    """What certificates and keys do (`ca/ceremony.py`). Each raises Malformed, Conflict, NotFound or UpstreamUnavailable.

    They are called in a thread: to make a key takes its time, in a token above all.
    """

    def rotate(
        self,
        record: AuthorityRecord,
        now: int,
        algorithm: str | None,
        *,
        new_root: bool,
        token: str | None,
        key: str,
    ) -> AuthorityRecord: ...

    def activate(self, record: AuthorityRecord, chain: tuple[Any, ...], now: int) -> AuthorityRecord: ...

    def issuers(self, record: AuthorityRecord) -> tuple[RevokedIssuer, ...]: ...

    def revoke(
        self, record: AuthorityRecord, issuer: str, reason: RevocationReason, now: int
    ) -> AuthorityRecord: ...


@dataclass(frozen=True, slots=True)
class AuthorityKeys:
    """`keepers` by the types of authority that have keys of our own."""

    store: Store
    clock: Clock
    entropy: Entropy
    keepers: dict[str, KeepsKeys]

    async def rotate(
        self, name: AuthorityName, sent: Rotation, condition: IfMatch, by: str
    ) -> AuthorityRecord:
        """A new issuing CA, or where the root is offline a CSR for one."""

        def rotated(keeper: KeepsKeys, record: AuthorityRecord, now: int) -> AuthorityRecord:
            return keeper.rotate(
                record,
                now,
                sent.algorithm,
                new_root=sent.new_root,
                token=sent.token_label,
                key=sent.key_label,
            )

        return await self._changed(name, condition, by, "rotated", rotated)

    async def activate(
        self, name: AuthorityName, sent: Brought, condition: IfMatch, by: str
    ) -> AuthorityRecord:
        """Take the certificate that the CSR became."""

        def activated(keeper: KeepsKeys, record: AuthorityRecord, now: int) -> AuthorityRecord:
            return keeper.activate(record, sent.chain, now)

        return await self._changed(name, condition, by, "activated", activated)

    async def revoke(
        self, name: AuthorityName, sent: Revocation, condition: IfMatch, by: str
    ) -> AuthorityRecord:
        """Put an issuing CA on its root's CRL; no device gets a certificate of it back."""

        def revoked(keeper: KeepsKeys, record: AuthorityRecord, now: int) -> AuthorityRecord:
            made = keeper.revoke(record, sent.key_id, sent.reason, now)
            return replace(made, version=names.generation(self.entropy))

        return await self._changed(name, condition, by, "issuer-revoked", revoked)

    async def _changed(
        self,
        name: AuthorityName,
        condition: IfMatch,
        by: str,
        outcome: str,
        change: Callable[[KeepsKeys, AuthorityRecord, int], AuthorityRecord],
    ) -> AuthorityRecord:
        saved = await repeated(lambda: self._change(name, condition, change))
        log.info("authority-keys-changed", by=by, authority=saved.name.text, outcome=outcome)
        return saved

    async def _change(
        self,
        name: AuthorityName,
        condition: IfMatch,
        change: Callable[[KeepsKeys, AuthorityRecord, int], AuthorityRecord],
    ) -> AuthorityRecord:
        present = await self.store.authority(name)
        check_present(
            condition, present.etag if present else None, "certificate authority", "authority-unknown"
        )
        assert present is not None
        keeper = self.keepers.get(present.type)
        if keeper is None:
            raise Conflict(
                f"The keys of a {present.type} authority are not this service's.",
                rule="authority-keys-elsewhere",
            )
        now = int(self.clock.now())
        changed = await asyncio.to_thread(change, keeper, present, now)
        made = replace(changed, etag=names.etag(self.entropy), updated_at=now)
        await self.store.commit([SaveAuthority(made, present.etag)])
        return made
