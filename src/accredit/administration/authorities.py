"""Certificate authorities: put, read, delete, list.

A record is stored only after its CA has been asked whether it would take orders; how it stands later is shown with it.
How a CA is asked is handed in (`Probe`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography import x509

from accredit.administration import authority_types, names
from accredit.administration.authority_types import AuthorityType
from accredit.administration.preconditions import check_present, check_put, repeated
from accredit.domain.authority import AuthorityRecord
from accredit.domain.changes import DeleteAuthority, SaveAuthority
from accredit.domain.errors import (
    AccreditError,
    Conflict,
    Malformed,
    NotFound,
    UpstreamRejected,
    UpstreamUnavailable,
)
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.interfaces import Clock, Entropy, Page, Standing, Store
from accredit.observe import log
from accredit.values import dataclass
from accredit.wire.service_api.authorities import AuthoritySent
from accredit.wire.service_api.certificates import certificate_ders
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.queries import Paging

Maker = Callable[[AuthorityName, int, Mapping[str, Any]], tuple[dict[str, Any], dict[str, Secret]]]
"""Founds an authority of our own at an instant, as its settings say: its public settings, and its secrets.

Raises Malformed or UpstreamUnavailable; called in a thread.
"""

Probe = Callable[[AuthorityRecord], Awaitable[Standing | None]]
"""Asks the CA behind a record, stored or not; None where there is nobody to ask. Raises AccreditError."""


async def unasked(_: AuthorityRecord) -> Standing | None:
    """A `Probe` that asks nobody."""
    return None


@dataclass(frozen=True, slots=True)
class Health:
    """How an authority stands now: `reason` is what is wrong, None when it would take orders.

    `credentials_end` is when ours are taken no more (Unix seconds), as far as it is known.
    """

    reason: str | None
    standing: Standing
    checked_at: int
    credentials_end: int | None = None


@dataclass(frozen=True, slots=True)
class Authorities:
    """`makers` found the authorities of those types that need a key of their own."""

    store: Store
    clock: Clock
    entropy: Entropy
    makers: Mapping[str, Maker]
    probe: Probe = unasked

    async def put(
        self, name: AuthorityName, sent: AuthoritySent, condition: IfMatch, by: str
    ) -> AuthorityRecord:
        """Create or replace, as `condition` allows."""
        kind = authority_types.known(sent.type)
        return await repeated(lambda: self._put(name, kind, sent, condition, by))

    async def read(self, name: AuthorityName) -> AuthorityRecord:
        """Raises NotFound."""
        authority = await self.store.authority(name)
        if authority is None:
            raise NotFound("There is no such certificate authority.", rule="authority-unknown")
        return authority

    async def health(self, authority: AuthorityRecord) -> Health | None:
        """Ask the CA now; whatever it answers is an answer here. None where there is nobody to ask."""
        checked_at = int(self.clock.now())
        shown = _certificate_end(authority)
        try:
            standing = await self.probe(authority)
        except AccreditError as failure:
            return Health(failure.message, Standing(), checked_at, shown)
        if standing is None:
            return None
        ends = [end for end in (shown, standing.credentials_end) if end is not None]
        return Health(None, standing, checked_at, min(ends, default=None))

    async def delete(self, name: AuthorityName, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows, unless an enrollment names it."""
        await repeated(lambda: self._delete(name, condition))
        log.info("authority-deleted", by=by, authority=name.text)

    async def page(self, paging: Paging) -> Page[AuthorityRecord]:
        return await self.store.authorities(paging.cursor, paging.limit)

    async def _put(
        self, name: AuthorityName, kind: AuthorityType, sent: AuthoritySent, condition: IfMatch, by: str
    ) -> AuthorityRecord:
        present = await self.store.authority(name)
        check_put(condition, present.etag if present else None, "certificate authority")
        if present is not None and present.type != sent.type:
            raise Conflict(
                f"The certificate authority is of type {present.type}, which a replace can't change.",
                rule="authority-type-fixed",
                hint="delete it first, or choose another name",
            )
        if present is not None and present.is_revoked:
            raise Conflict(
                "The certificate authority was revoked.",
                rule="authority-revoked",
                hint="add another one under a new name, and point the enrollments there",
            )
        now = int(self.clock.now())
        settings, secrets = authority_types.read(kind, sent, present)
        secrets |= {
            name: Secret(self.entropy.token(size).hex().encode())
            for name, size in kind.drawn.items()
            if name not in secrets
        }
        if kind.founded:
            settings, secrets = await self._founded(name, sent.type, present, settings, now)
        record = AuthorityRecord(
            name=present.name if present else name,
            type=sent.type,
            settings=settings,
            secrets=secrets,
            version=names.generation(self.entropy),
            etag=names.etag(self.entropy),
            created_at=present.created_at if present else now,
            updated_at=now,
        )
        if not kind.founded:  # an authority of our own may be waiting for its certificate
            await self._probed(record)
        await self.store.commit([SaveAuthority(record, replaces=present.etag if present else None)])
        outcome = "replaced" if present else "created"
        log.info("authority-saved", by=by, authority=record.name.text, type=record.type, outcome=outcome)
        return record

    async def _probed(self, record: AuthorityRecord) -> None:
        """Raises Malformed, with what the CA or the way to it said."""
        try:
            await self.probe(record)
        except (UpstreamRejected, UpstreamUnavailable) as failure:
            raise Malformed(
                f"Nothing was stored, because the certificate authority would not take orders: {failure.message}",
                rule="authority-probe",
                hint="check its address and credentials, then PUT again",
            ) from failure

    async def _founded(
        self,
        name: AuthorityName,
        kind: str,
        present: AuthorityRecord | None,
        settings: Mapping[str, Any],
        now: int,
    ) -> tuple[dict[str, Any], dict[str, Secret]]:
        # A replace must not lose the key that devices' certificates hang from.
        if present is not None:
            for member, value in settings.items():
                if present.settings.get(member, value) != value:
                    raise Conflict(
                        f"{member} can't be changed by a replace.",
                        rule="authority-key-fixed",
                        hint="POST /certificateAuthorities/{name}/rotate makes a new issuing CA",
                    )
            return present.settings, present.secrets
        maker = self.makers.get(kind)
        if maker is None:
            raise Malformed(f"{kind} is not available on this service.", rule="authority-type")
        # In a thread: to make a key takes its time, in a token above all.
        return await asyncio.to_thread(maker, name, now, settings)

    async def _delete(self, name: AuthorityName, condition: IfMatch) -> None:
        present = await self.store.authority(name)
        check_present(
            condition, present.etag if present else None, "certificate authority", "authority-unknown"
        )
        assert present is not None
        users = await self.store.enrollments_using(name)
        if users:
            raise Conflict(
                f"The certificate authority is named by {users} enrollments and groups.",
                rule="authority-in-use",
                hint="point them to another one first",
            )
        await self.store.commit([DeleteAuthority(name, present.etag)])


def _certificate_end(authority: AuthorityRecord) -> int | None:
    """When the client certificate that we show to the CA ends, if we show one."""
    text = authority.settings.get("clientCertificate")
    if not text:
        return None
    leaf, *_ = certificate_ders(text, "clientCertificate")
    return int(x509.load_der_x509_certificate(leaf).not_valid_after_utc.timestamp())
