"""Linked hubs: put, read, delete, list.

A hub elsewhere is stored only after it has been asked whether it lets this service do its work; an embedded one, only
if its name leads to this service. How that is found out is handed in (`HubSurroundings`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from accredit.administration import names
from accredit.administration.preconditions import check_present, check_put, repeated
from accredit.domain.changes import DeleteLinkedHub, SaveLinkedHub
from accredit.domain.errors import Conflict, Malformed, NotFound, UpstreamRejected, UpstreamUnavailable
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.interfaces import Clock, Entropy, Hubs, HubUsers, Stale, Store
from accredit.observe import log
from accredit.values import dataclass
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.linked_hubs import LinkedHubSent

_NOUN = "linked hub"


async def _nobody(_: LinkedHub) -> None:
    """A probe that asks nobody."""


async def _nothing(_: str) -> str | None:
    """An objection to no name."""
    return None


async def _done() -> None:
    """Nothing follows."""


@dataclass(frozen=True, slots=True)
class HubSurroundings:
    """`probe` asks a hub elsewhere, stored or not, and raises UpstreamRejected or UpstreamUnavailable. `objection` says why
    an embedded hub can't have a name, None when it can. `changed` is told once other embedded hubs are linked."""

    probe: Callable[[LinkedHub], Awaitable[None]] = _nobody
    objection: Callable[[str], Awaitable[str | None]] = _nothing
    changed: Callable[[], Awaitable[None]] = _done


UNASKED = HubSurroundings()
"""Where nobody is asked."""


@dataclass(frozen=True, slots=True)
class LinkedHubs:
    store: Store
    hubs: Hubs
    clock: Clock
    entropy: Entropy
    surroundings: HubSurroundings = UNASKED

    async def put(self, sent: LinkedHubSent, condition: IfMatch, by: str) -> LinkedHub:
        """Create or replace, as `condition` allows."""
        saved = await repeated(lambda: self._put(sent, condition, by))
        if saved.kind is HubKind.EMBEDDED:
            await self.surroundings.changed()
        return saved

    async def read(self, name: str) -> LinkedHub:
        """Raises NotFound."""
        hub = await self._present(name)
        if hub is None:
            raise NotFound("There is no such linked hub.", rule="hub-not-linked")
        return hub

    async def delete(self, name: str, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows, unless somebody needs the hub."""
        await repeated(lambda: self._delete(name, condition))
        log.info("hub-unlinked", by=by, hub=name)
        await self.surroundings.changed()

    async def listing(self) -> Sequence[LinkedHub]:
        """The first embedded hub, then the others by name."""
        return await self.hubs.linked()

    async def _present(self, name: str) -> LinkedHub | None:
        return next((hub for hub in await self.hubs.linked() if hub.name.lower() == name.lower()), None)

    async def _put(self, sent: LinkedHubSent, condition: IfMatch, by: str) -> LinkedHub:
        present = await self._present(sent.name)
        check_put(condition, present.etag if present else None, _NOUN)
        kind = _kind(sent, present)
        now = int(self.clock.now())
        hub = LinkedHub(
            name=present.name if present else sent.name,
            kind=kind,
            etag=names.etag(self.entropy),
            created_at=present.created_at if present else now,
            updated_at=now,
            location=sent.location,
            weight=sent.weight,
            apply_allocation_policy=sent.apply_allocation_policy,
            connection_string=sent.connection_string or (present.connection_string if present else None),
            trust_anchors=sent.trust_anchors,
            first=present is not None and present.first,
        )
        await self._check(hub)
        await self.store.commit([SaveLinkedHub(hub, await self._replaced(hub))])
        outcome = "replaced" if present else "created"
        log.info("hub-linked", by=by, hub=hub.name, kind=hub.kind.value, outcome=outcome)
        return hub

    async def _replaced(self, hub: LinkedHub) -> str | None:
        """The etag of the stored row; the first hub has one only once its settings were changed."""
        return next((stored.etag for stored in await self.store.linked_hubs() if stored.key == hub.key), None)

    async def _check(self, hub: LinkedHub) -> None:
        """Raises Malformed, with what stands in the way."""
        objection = await self.surroundings.objection(hub.name)
        if hub.kind is HubKind.EMBEDDED:
            if objection is not None and not hub.first:
                raise Malformed(
                    f"{hub.name} can't be an embedded hub: {objection}.",
                    rule="hub-name",
                    hint="name it with --host, or let its name resolve to an address that the service listens on",
                )
            return
        try:
            await self.surroundings.probe(hub)
        except (UpstreamRejected, UpstreamUnavailable) as failure:
            raise Malformed(
                f"Nothing was stored, because the hub can't be used: {failure.message}",
                rule="hub-probe",
                hint=failure.hint or "check its address and its connection string, then PUT again",
                evidence=failure.evidence,
            ) from failure

    async def _delete(self, name: str, condition: IfMatch) -> None:
        present = await self._present(name)
        check_present(condition, present.etag if present else None, _NOUN, "hub-not-linked")
        assert present is not None
        if present.first:
            raise Conflict(
                "The hub of the service's first host name is always linked.",
                rule="hub-in-use",
                hint='to give it no devices, replace it with "applyAllocationPolicy": false',
            )
        users = await self.store.hub_users(present)
        if users != HubUsers(0, 0, 0):
            raise _in_use(users)
        try:
            await self.store.commit([DeleteLinkedHub(present)])
        except Stale:
            if (users := await self.store.hub_users(present)) != HubUsers(0, 0, 0):
                raise _in_use(users) from None
            raise


def _kind(sent: LinkedHubSent, present: LinkedHub | None) -> HubKind:
    """A hub keeps its kind: its devices are in another place than those of the other kind."""
    asked = HubKind.EMBEDDED if sent.connection_string is None else HubKind.AZURE
    if present is None:
        kind = asked
    else:
        kind = present.kind
        if asked is HubKind.AZURE and kind is HubKind.EMBEDDED:
            raise Conflict(
                "The hub of this name is embedded in this service.",
                rule="hub-kind",
                hint="unlink it first",
            )
    if kind is HubKind.EMBEDDED and sent.trust_anchors is not None:
        raise Malformed("trustAnchors are for a hub elsewhere.", rule="document-invalid")
    return kind


def _in_use(users: HubUsers) -> Conflict:
    return Conflict(
        f"The hub has {users.registrations} registrations, is named by {users.enrollments} enrollments and groups, and "
        f"keeps {users.identities} identities.",
        rule="hub-in-use",
        hint="let the devices be assigned elsewhere, take it off the enrollments, and delete the identities, first",
    )
