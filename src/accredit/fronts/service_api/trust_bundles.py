"""`/trustBundles`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from accredit.administration.trust_bundles import TrustBundles
from accredit.domain.ids import TrustBundleName
from accredit.fronts.service_api.answers import condition_of, document, gone, page, paging_of
from accredit.fronts.service_api.gate import body_of
from accredit.values import dataclass
from accredit.wire.service_api.trust_bundles import read_trust_bundle, trust_bundle_document


@dataclass(frozen=True, slots=True)
class TrustBundleCalls:
    trust_bundles: TrustBundles

    async def put(self, request: Request, by: str) -> Response:
        name = _name(request)
        certificates = read_trust_bundle(await body_of(request), name)
        saved = await self.trust_bundles.put(name, certificates, condition_of(request), by)
        return document(trust_bundle_document(saved), saved.etag)

    async def read(self, request: Request, _by: str) -> Response:
        bundle = await self.trust_bundles.read(_name(request))
        return document(trust_bundle_document(bundle), bundle.etag)

    async def delete(self, request: Request, by: str) -> Response:
        await self.trust_bundles.delete(_name(request), condition_of(request), by)
        return gone()

    async def listing(self, request: Request, _by: str) -> Response:
        wanted = paging_of(request)
        found = await self.trust_bundles.page(wanted)
        return page([trust_bundle_document(row) for row in found.rows], found.cursor, wanted, "unknown")


def _name(request: Request) -> TrustBundleName:
    return TrustBundleName.parse(request.path_params["name"])
