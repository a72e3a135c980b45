"""One call of every address that has a gate, as `tests/unit/fronts/service_api/test_endpoints.py` makes it.

A new row of a route table needs an example here: the tests of rights, of the API's description and of its documents
are made from these, and miss whichever is not there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from accredit.administration.access import Access
from accredit.administration.bearers import Bearers
from accredit.domain.access import Realm
from accredit.domain.device import Telemetry
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.ids import DeviceId
from accredit.fronts import hub_api, openapi, service_api
from accredit.fronts.https import application
from accredit.fronts.service_api.endpoints import Endpoint
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.linked_hubs.configured import ConfiguredHubs
from support import pki
from support.counted_entropy import CountedEntropy
from support.service_side import HOST, ServiceSide, opened


@dataclass(frozen=True)
class Example:
    """A call that is answered with `status` in the world of `every_route`."""

    path: str
    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None
    query: str = ""


_PLANT = pki.root("Plant")
_ROOTS = {"certificates": [{"certificate": pki.root("Roots").pem}]}
EXAMPLES: dict[tuple[str, str], Example] = {
    ("GET", "/certificateAuthorities"): Example("/certificateAuthorities", 200),
    ("GET", "/certificateAuthorities/{name}"): Example("/certificateAuthorities/ca-1", 200),
    ("PUT", "/certificateAuthorities/{name}"): Example(
        "/certificateAuthorities/ca-2", 200, {"certificateAuthorityType": "BuiltIn"}
    ),
    ("DELETE", "/certificateAuthorities/{name}"): Example("/certificateAuthorities/ca-1", 204),
    ("POST", "/certificateAuthorities/{name}/rotate"): Example(
        "/certificateAuthorities/ca-1/rotate", 200, {"newRoot": True}
    ),
    ("POST", "/certificateAuthorities/{name}/activate"): Example(
        "/certificateAuthorities/ca-1/activate", 409, {"certificate": _PLANT.pem}
    ),
    ("POST", "/certificateAuthorities/{name}/revokeIssuer"): Example(
        "/certificateAuthorities/ca-1/revokeIssuer", 404, {"keyId": "00ff"}
    ),
    ("GET", "/trustBundles"): Example("/trustBundles", 200),
    ("GET", "/trustBundles/{name}"): Example("/trustBundles/roots-1", 200),
    ("PUT", "/trustBundles/{name}"): Example("/trustBundles/roots-2", 200, _ROOTS),
    ("DELETE", "/trustBundles/{name}"): Example("/trustBundles/roots-1", 204),
    ("GET", "/certificateProfiles"): Example("/certificateProfiles", 200),
    ("GET", "/certificateProfiles/{name}"): Example("/certificateProfiles/lamps-1", 200),
    ("PUT", "/certificateProfiles/{name}"): Example("/certificateProfiles/lamps-2", 200, {"validityDays": 7}),
    ("DELETE", "/certificateProfiles/{name}"): Example("/certificateProfiles/lamps-1", 204),
    ("GET", "/caCertificates"): Example("/caCertificates", 200),
    ("GET", "/caCertificates/{name}"): Example("/caCertificates/plant-1", 200),
    ("PUT", "/caCertificates/{name}"): Example("/caCertificates/plant-2", 200, {"certificate": _PLANT.pem}),
    ("DELETE", "/caCertificates/{name}"): Example("/caCertificates/plant-1", 204),
    ("POST", "/caCertificates/{name}/verificationCode"): Example(
        "/caCertificates/plant-1/verificationCode", 200
    ),
    ("POST", "/caCertificates/{name}/generateVerificationCode"): Example(
        "/caCertificates/plant-1/generateVerificationCode", 200
    ),
    ("POST", "/caCertificates/{name}/verify"): Example(
        "/caCertificates/plant-1/verify", 400, {"certificate": _PLANT.pem}
    ),
    ("POST", "/enrollments"): Example(
        "/enrollments", 200, {"mode": "delete", "enrollments": [{"registrationId": "absent"}]}
    ),
    ("POST", "/enrollments/query"): Example("/enrollments/query", 200),
    ("GET", "/enrollments/{id}"): Example("/enrollments/dev-1", 200),
    ("PUT", "/enrollments/{id}"): Example(
        "/enrollments/dev-2", 200, {"registrationId": "dev-2", "attestation": {"type": "symmetricKey"}}
    ),
    ("DELETE", "/enrollments/{id}"): Example("/enrollments/dev-1", 204),
    ("POST", "/enrollments/{id}/attestationmechanism"): Example(
        "/enrollments/dev-1/attestationmechanism", 200
    ),
    ("POST", "/enrollments/{id}/oneTimePassword"): Example("/enrollments/dev-1/oneTimePassword", 409),
    ("POST", "/enrollmentGroups"): Example(
        "/enrollmentGroups", 200, {"mode": "delete", "enrollmentGroups": [{"enrollmentGroupId": "line-1"}]}
    ),
    ("POST", "/enrollmentGroups/query"): Example("/enrollmentGroups/query", 200),
    ("GET", "/enrollmentGroups/{id}"): Example("/enrollmentGroups/line-1", 200),
    ("PUT", "/enrollmentGroups/{id}"): Example(
        "/enrollmentGroups/line-2",
        200,
        {"enrollmentGroupId": "line-2", "attestation": {"type": "symmetricKey"}},
    ),
    ("DELETE", "/enrollmentGroups/{id}"): Example("/enrollmentGroups/line-1", 204),
    ("POST", "/enrollmentGroups/{id}/attestationmechanism"): Example(
        "/enrollmentGroups/line-1/attestationmechanism", 200
    ),
    ("POST", "/registrations/query"): Example("/registrations/query", 200),
    ("POST", "/registrations/{id}/query"): Example("/registrations/line-1/query", 200),
    ("POST", "/registrations/{id}/resume"): Example("/registrations/dev-1/resume", 200),
    ("GET", "/decisionTraces"): Example("/decisionTraces", 200),
    ("GET", "/decisionTraces/{trackingId}"): Example("/decisionTraces/t-1", 200),
    ("GET", "/enrollmentGroups/{id}/allowedRegistrationIds"): Example(
        "/enrollmentGroups/line-1/allowedRegistrationIds", 200
    ),
    ("POST", "/enrollmentGroups/{id}/allowedRegistrationIds"): Example(
        "/enrollmentGroups/line-1/allowedRegistrationIds", 204, {"add": ["dev-7"], "remove": ["dev-8"]}
    ),
    ("POST", "/registrations/{id}/move"): Example(
        "/registrations/dev-1/move", 200, {"enrollmentGroupId": "line-1"}
    ),
    ("POST", "/registrations/{id}/revoke"): Example(
        "/registrations/dev-1/revoke", 200, {"reason": "superseded"}
    ),
    ("POST", "/enrollmentGroups/{id}/revoke"): Example(
        "/enrollmentGroups/line-1/revoke", 200, {"reason": "superseded"}
    ),
    ("POST", "/certificateAuthorities/{name}/revoke"): Example(
        "/certificateAuthorities/ca-1/revoke", 200, {"reason": "cACompromise", "keepDevices": True}
    ),
    ("GET", "/revocations"): Example("/revocations", 200),
    ("GET", "/revocations/{id}"): Example("/revocations/00ff", 404),
    ("GET", "/revocations/{id}/certificates"): Example("/revocations/00ff/certificates", 404),
    ("POST", "/registrations/{id}/readmit"): Example("/registrations/dev-1/readmit", 404),
    ("GET", "/registrations/{id}"): Example("/registrations/dev-1", 200),
    ("DELETE", "/registrations/{id}"): Example("/registrations/dev-1", 204),
    ("GET", "/certificates"): Example("/certificates", 200),
    ("GET", "/certificates/{serial}"): Example("/certificates/00FF", 404),
    ("GET", "/certificateForecast"): Example("/certificateForecast", 200),
    ("GET", "/certificateOrphans"): Example("/certificateOrphans", 200),
    ("GET", "/issuanceLog/leaves"): Example("/issuanceLog/leaves", 200),
    ("GET", "/issuanceLog/head"): Example("/issuanceLog/head", 404),
    ("GET", "/issuanceLog/witness"): Example("/issuanceLog/witness", 404),
    ("GET", "/issuanceLog/inclusion"): Example("/issuanceLog/inclusion", 404, query=f"&sha256={'00' * 32}"),
    ("GET", "/issuanceLog/consistency"): Example("/issuanceLog/consistency", 404, query="&first=1"),
    ("GET", "/issuanceLog/entries"): Example("/issuanceLog/entries", 200),
    **{
        (method, f"/{base}{path}"): Example(f"/{base}{real}", status, body)
        for base, name, right in (
            ("policies", "EnrollmentRead", "EnrollmentRead"),
            ("hubPolicies", "service", "ServiceConnect"),
        )
        for method, path, real, status, body in (
            ("GET", "", "", 200, None),
            ("GET", "/{name}", f"/{name}", 200, None),
            ("PUT", "/{name}", "/new", 200, {"rights": [right]}),
            ("DELETE", "/{name}", f"/{name}", 204, None),
            ("POST", "/{name}/rotate", f"/{name}/rotate", 200, {"key": "secondary"}),
        )
    },
    ("GET", "/linkedHubs"): Example("/linkedHubs", 200),
    ("GET", "/linkedHubs/{name}"): Example("/linkedHubs/hub-b.example", 200),
    ("PUT", "/linkedHubs/{name}"): Example("/linkedHubs/hub-c.example", 200, {"allocationWeight": 2}),
    ("DELETE", "/linkedHubs/{name}"): Example("/linkedHubs/hub-b.example", 204),
    ("GET", "/messages/events"): Example("/messages/events", 200),
}


@dataclass
class EveryRoute:
    """The APIs for operators under one roof, as port 443 has them, and the tables that they were made from."""

    side: ServiceSide
    tables: Mapping[Realm, tuple[Endpoint, ...]]

    @property
    def client(self) -> httpx.AsyncClient:
        return self.side.client

    async def call(self, example: Example, method: str, authorization: str | None) -> httpx.Response:
        shown = {} if authorization is None else {"Authorization": authorization}
        return await self.client.request(
            method,
            f"{example.path}?api-version=2021-11-01-preview{example.query}",
            json=example.body,
            headers={**shown, **(example.headers or {})},
        )


@asynccontextmanager
async def every_route(folder: Path, bearers: Bearers | None = None) -> AsyncIterator[EveryRoute]:
    """With `ca-1`, `roots-1`, `lamps-1`, `plant-1`, `dev-1`, `line-1`, a registration `dev-1` and a message of `dev-1` to answer about."""
    async with opened(folder) as side:
        telemetry = SegmentedTelemetry(folder / "telemetry", side.clock)
        try:
            await side.put("/certificateAuthorities/ca-1")
            await side.call("PUT", "/trustBundles/roots-1", _ROOTS)
            await side.call("PUT", "/certificateProfiles/lamps-1", {})
            await side.call("PUT", "/caCertificates/plant-1", {"certificate": _PLANT.pem})
            await side.put("/enrollments/dev-1")
            await side.put("/enrollmentGroups/line-1")
            await side.register("dev-1", EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1"))
            await side.refuse("dev-1", "t-1")
            await telemetry.append(
                [Telemetry(DeviceId("dev-1"), b"21", {}, {"message-id": "1"}, "{}", side.clock.now())]
            )
            entropy, hubs = CountedEntropy(), ConfiguredHubs(side.store, (HOST,))
            tables = {
                Realm.PROVISIONING: service_api.endpoints(side.administration, side.clock),
                Realm.HUB: hub_api.endpoints(telemetry, hubs),
            }
            access = {
                realm: Access(side.store, side.clock, (HOST,), realm, bearers=bearers) for realm in Realm
            }
            routes = [
                *service_api.routes(side.administration, access[Realm.PROVISIONING], side.clock, entropy),
                *hub_api.routes(telemetry, hubs, access[Realm.HUB], side.clock, entropy),
                *openapi.routes([each for table in tables.values() for each in table]),
            ]
            transport = httpx.ASGITransport(application(routes, side.clock, entropy))
            side.client = httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}")
            async with side.client:
                yield EveryRoute(side, tables)
        finally:
            await telemetry.close()
