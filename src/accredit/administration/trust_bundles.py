"""Trust bundles: put, read, delete, list."""

from __future__ import annotations

from accredit.administration import names
from accredit.administration.preconditions import check_present, check_put, repeated
from accredit.domain.changes import DeleteTrustBundle, SaveTrustBundle
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.ids import TrustBundleName
from accredit.domain.trust_bundle import TrustBundle
from accredit.interfaces import Clock, Entropy, Page, Store
from accredit.observe import log
from accredit.values import dataclass
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.queries import Paging

_NOUN = "trust bundle"


@dataclass(frozen=True, slots=True)
class TrustBundles:
    store: Store
    clock: Clock
    entropy: Entropy

    async def put(
        self, name: TrustBundleName, certificates: tuple[bytes, ...], condition: IfMatch, by: str
    ) -> TrustBundle:
        """Create or replace, as `condition` allows; devices get the new one with their next answer."""
        return await repeated(lambda: self._put(name, certificates, condition, by))

    async def read(self, name: TrustBundleName) -> TrustBundle:
        """Raises NotFound."""
        bundle = await self.store.trust_bundle(name)
        if bundle is None:
            raise NotFound("There is no such trust bundle.", rule="trust-bundle-unknown")
        return bundle

    async def delete(self, name: TrustBundleName, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows, unless an enrollment names it."""
        await repeated(lambda: self._delete(name, condition))
        log.info("trust-bundle-deleted", by=by, trustBundle=name.text)

    async def page(self, paging: Paging) -> Page[TrustBundle]:
        return await self.store.trust_bundles(paging.cursor, paging.limit)

    async def _put(
        self, name: TrustBundleName, certificates: tuple[bytes, ...], condition: IfMatch, by: str
    ) -> TrustBundle:
        present = await self.store.trust_bundle(name)
        check_put(condition, present.etag if present else None, _NOUN)
        now = int(self.clock.now())
        bundle = TrustBundle(
            name=present.name if present else name,
            certificates=certificates,
            etag=names.etag(self.entropy),
            created_at=present.created_at if present else now,
            updated_at=now,
        )
        await self.store.commit([SaveTrustBundle(bundle, replaces=present.etag if present else None)])
        outcome = "replaced" if present else "created"
        log.info(
            "trust-bundle-saved",
            by=by,
            trustBundle=bundle.name.text,
            certificates=len(certificates),
            outcome=outcome,
        )
        return bundle

    async def _delete(self, name: TrustBundleName, condition: IfMatch) -> None:
        present = await self.store.trust_bundle(name)
        check_present(condition, present.etag if present else None, _NOUN, "trust-bundle-unknown")
        assert present is not None
        users = await self.store.enrollments_naming(name)
        if users:
            raise Conflict(
                f"The trust bundle is named by {users} enrollments and groups.",
                rule="trust-bundle-in-use",
                hint="take trustBundleId off them first, or replace the bundle's certificates",
            )
        await self.store.commit([DeleteTrustBundle(name, present.etag)])
