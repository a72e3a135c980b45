"""The service API over a store, without sockets: policies, an operator's calls, and rows to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from starlette.applications import Starlette

from accredit.administration.access import Access
from accredit.administration.administration import Administration, administration
from accredit.app.authorities import found_built_in
from accredit.ca.ceremony import Ceremony
from accredit.domain.access import Policy, Realm, Right
from accredit.domain.authority import AuthorityRecord
from accredit.domain.changes import SavePolicy, SaveRegistration, SaveSetbacks, SaveTrace
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import AccreditError
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.registration import Registration, Status, Substatus
from accredit.domain.secret import Secret
from accredit.domain.setback import Setbacks
from accredit.domain.trace import Asked, DecisionTrace, Step
from accredit.fronts.service_api import routes
from accredit.interfaces import Standing, Store
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.seal import Sealer
from accredit.stores import schema
from accredit.stores.sqlite import SqliteStore
from accredit.wire import sas
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.linked import linked
from support.soft_token import SoftToken

HOST = "dps.example"
HUBS = ("Hub-A.example", "hub-b.example")
OWNER = "provisioningserviceowner"
VERSION = "2021-11-01-preview"

PROVISIONING_RIGHTS = (
    Right.SERVICE_CONFIG,
    Right.ENROLLMENT_READ,
    Right.ENROLLMENT_WRITE,
    Right.REGISTRATION_STATUS_READ,
    Right.REGISTRATION_STATUS_WRITE,
)
HUB_POLICIES = {
    "iothubowner": frozenset(Right),
    "service": frozenset({Right.SERVICE_CONNECT}),
    "device": frozenset({Right.DEVICE_CONNECT}),
    "registryRead": frozenset({Right.REGISTRY_READ}),
    "registryReadWrite": frozenset({Right.REGISTRY_READ, Right.REGISTRY_WRITE}),
}


def policies() -> tuple[Policy, ...]:
    """What a first start makes; the hub's carry every right there is, so that only their realm keeps them out."""
    provisioning = {
        OWNER: frozenset(PROVISIONING_RIGHTS),
        **{str(r): frozenset({r}) for r in PROVISIONING_RIGHTS},
    }
    return tuple(
        Policy(
            realm,
            name,
            rights,
            Secret(f"{realm}/{name}/1".encode()),
            Secret(f"{realm}/{name}/2".encode()),
            "first",
        )
        for realm, named in ((Realm.PROVISIONING, provisioning), (Realm.HUB, HUB_POLICIES))
        for name, rights in named.items()
    )


@dataclass
class CAs:
    """Stands for every outside CA: what a probe of any of them finds, an answer or a refusal."""

    outcome: Standing | AccreditError | None = None

    async def probe(self, _: AuthorityRecord) -> Standing | None:
        if isinstance(self.outcome, AccreditError):
            raise self.outcome
        return self.outcome


@dataclass
class ServiceSide:
    store: Store
    clock: HandClock
    administration: Administration
    client: httpx.AsyncClient
    cas: CAs
    hsm: SoftToken

    def token(self, policy: str = OWNER, realm: Realm = Realm.PROVISIONING) -> str:
        key = f"{realm}/{policy}/1".encode()
        return sas.make(HOST, key, int(self.clock.now()) + 3600, policy)

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        policy: str = OWNER,
        etag: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One call, signed. Every answer is checked for what all of them must have."""
        every = {"Authorization": self.token(policy), **({"If-Match": etag} if etag is not None else {})}
        path += f"{'&' if '?' in path else '?'}api-version={VERSION}"
        answer = await self.client.request(method, path, json=json, headers={**every, **(headers or {})})
        assert len(answer.headers["x-ms-request-id"]) == 36
        if answer.status_code >= 400:
            body = answer.json()
            assert set(body) == {"errorCode", "trackingId", "message", "timestampUtc"}
            assert body["errorCode"] // 1000 == answer.status_code
            assert answer.headers["x-ms-error-code"] == str(body["errorCode"])
            assert body["trackingId"] == answer.headers["x-ms-request-id"]
        if answer.status_code == 204:
            assert answer.content == b""
        else:
            assert answer.headers["content-type"] == "application/json; charset=utf-8"
        return answer

    async def put(self, path: str, etag: str | None = None, **members: Any) -> httpx.Response:
        """PUT an enrollment, a group or an authority; what is left out is the least that is accepted."""
        collection, name = path.strip("/").split("/")
        least: dict[str, dict[str, Any]] = {
            "enrollments": {"registrationId": name, "attestation": {"type": "symmetricKey"}},
            "enrollmentGroups": {"enrollmentGroupId": name, "attestation": {"type": "symmetricKey"}},
            "certificateAuthorities": {"certificateAuthorityType": "BuiltIn"},
        }
        return await self.call("PUT", path, {**least[collection], **members}, etag=etag)

    async def refuse(self, name: str, tracking_id: str) -> DecisionTrace:
        """As if the device had been refused after its proof so often that it is paused."""
        trace = DecisionTrace(
            tracking_id, name, int(self.clock.now()), Asked.REGISTER, "192.0.2.7", f"individual/{name}",
            (Step("the device", "showed a SAS token"),), "csr-signature", "It proves nothing.", "seen", "do", 400004,
        )  # fmt: skip
        await self.store.commit([SaveTrace(trace), SaveSetbacks(_setbacks(trace))])
        return trace

    async def register(self, name: str, owner: EnrollmentRef, payload: bytes | None = None) -> Registration:
        """As if the device had registered."""
        registration = Registration(
            registration_id=RegistrationId.parse(name),
            enrollment=owner,
            device_id=DeviceId(name),
            hub=HUBS[0],
            status=Status.ASSIGNED,
            substatus=Substatus.INITIAL_ASSIGNMENT,
            operation_id=f"4.0.{name}",
            etag=f"etag-of-{name}",
            created_at=int(self.clock.now()),
            updated_at=int(self.clock.now()),
            payload=payload,
        )
        await self.store.commit([SaveRegistration(registration, replaces=None)])
        return registration


def _setbacks(trace: DecisionTrace) -> Setbacks:
    return Setbacks(
        RegistrationId.parse(trace.registration_id),
        EnrollmentRef(EnrollmentKind.INDIVIDUAL, trace.registration_key),
        "e1", 20, trace.rule, trace.reason, trace.tracking_id, trace.traced_at - 60, trace.traced_at, trace.traced_at,
    )  # fmt: skip


@cache
def _migrated() -> bytes:
    """A database with tables and nothing in it: made once, since making one takes longer than most tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        schema.migrate(path)
        return path.read_bytes()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[ServiceSide]:
    """A service API over a new SQLite store in this folder, with the policies of `policies()` in it."""
    path = folder / "state.db"
    path.write_bytes(_migrated())
    store = await SqliteStore.open(path, Sealer([Secret(b"m" * 32)]))
    try:
        await store.commit([SavePolicy(policy) for policy in policies()])
        await linked(store, HUBS)
        service = service_side(store)
        async with service.client:
            yield service
        await service.administration.mass_revoker.stop()
    finally:
        await store.close()


def service_side(store: Store) -> ServiceSide:
    """A service API over this store."""
    hubs = ConfiguredHubs(store, HUBS)
    clock, entropy, cas = HandClock(), CountedEntropy(), CAs()
    hsm = SoftToken()
    ceremony = Ceremony(entropy, None, hsm)
    every = administration(
        store,
        clock,
        entropy,
        hubs,
        {"BuiltIn": partial(found_built_in, ceremony)},
        cas.probe,
        keepers={"BuiltIn": ceremony},
    )
    app = Starlette(routes=routes(every, Access(store, clock, (HOST,)), clock, entropy))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"https://{HOST}")
    return ServiceSide(store, clock, every, client, cas, hsm)
