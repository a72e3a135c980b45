"""The authorities that are bought: AWS as moto plays it (signing for real), and fakes that follow the vendors' documents."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from accredit.app.authorities import connector
from accredit.authorities.upstream import Surroundings
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import ClientIdentity, Egress, EgressRules, tls_context
from accredit.policy.issuance import check_delivered
from support import moto_server
from support.cmp_server import REFERENCE, SECRET, CmpServer
from support.digicert_one import API_KEY, PROFILE, DigiCertOneServer
from support.hand_clock import HandClock
from support.https_peer import server_context
from support.passing_time import PATIENCE_S
from support.signing_requests import key, order
from support.small_issuer import Issuer, new_key, pem
from support.tls_service import tls_root
from support.vendor_fakes import CertCentralServer, EjbcaServer, MpkiServer

REFUSED = "device-1"


class Vendor(NamedTuple):
    """What the contract suite wants of an authority: see `support/authorities.py`."""

    authority: Any
    clock: HandClock
    refuse: Callable[[], str]
    real: Any = None


def record(kind: str, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> AuthorityRecord:
    """As a PUT would have stored it."""
    return AuthorityRecord(
        name=AuthorityName.parse("outside"),
        type=kind,
        settings=dict(settings),
        secrets={name: Secret(value.encode()) for name, value in secrets.items()},
        version="v1",
        etag="e1",
        created_at=0,
        updated_at=0,
    )


def issued_by(issuer: Issuer, now: int, reference: str | None = None) -> IssuedChain:
    """A certificate that passed the checks, of a CA in a test."""
    begins = datetime.fromtimestamp(now, UTC) - timedelta(hours=1)
    leaf = issuer.leaf("device-1", key().public_key(), begins, begins + timedelta(days=30))
    chain = [each.public_bytes(Encoding.DER) for each in (leaf, issuer.intermediate, issuer.root)]
    return check_delivered(order(), chain, (), None, now, reference)


@asynccontextmanager
async def connected(
    made: AuthorityRecord, clock: HandClock, *, deadline_s: float = PATIENCE_S, egress: Egress | None = None
) -> AsyncIterator[Any]:
    """The record's connector, which may go anywhere on this machine."""
    certificate, secret = made.settings.get("clientCertificate"), made.secrets.get("clientKey")
    identity = ClientIdentity(certificate, secret) if certificate and secret else None
    tls = tls_context(made.settings.get("trustAnchors", ""), identity)
    pool = egress or Egress(EgressRules(("127.0.0.0/8", "::1")), tls=tls)
    try:
        yield connector(made.type, made.settings.get("flavour", ""))(
            made, Surroundings(pool, clock, deadline_s=deadline_s)
        )
    finally:
        await pool.close()


def aws_record(made: moto_server.PrivateCa, **settings: Any) -> AuthorityRecord:
    members = {"arn": made.arn, "endpointUrl": made.url, "accessKeyId": made.access_key_id, **settings}
    return record("AwsPrivateCa", members, {"secretAccessKey": made.secret_access_key})


def moto_clock() -> HandClock:
    """moto begins a life at the second it signs in."""
    return HandClock(int(time.time()) + 60)


@asynccontextmanager
async def aws_private_ca(*_: object) -> AsyncIterator[Vendor]:
    made = await asyncio.to_thread(moto_server.private_ca)

    def refuse() -> str:
        made.deny("acm-pca:IssueCertificate")
        return REFUSED

    clock = moto_clock()
    async with connected(aws_record(made), clock) as authority:
        yield Vendor(authority, clock, refuse)


@dataclass(frozen=True)
class Fake:
    """A fake, and the record of an authority before it."""

    make: Callable[..., DigiCertOneServer]
    record: Callable[..., AuthorityRecord]

    @asynccontextmanager
    async def serving(self, clock: HandClock) -> AsyncIterator[DigiCertOneServer]:
        async with self.make(now=clock.now) as server:
            yield server

    @asynccontextmanager
    async def at_hand(self, *_: object) -> AsyncIterator[Vendor]:
        clock = HandClock()
        async with self.serving(clock) as server:
            made = self.record(server)

            def refuse() -> str:
                server.faults.append("refuse-400")
                return REFUSED

            async with connected(made, clock) as authority:
                yield Vendor(authority, clock, refuse)


def digicert_record(flavour: str, **members: Any) -> Callable[..., AuthorityRecord]:
    def made(server: DigiCertOneServer, **settings: Any) -> AuthorityRecord:
        told = {"profileName": PROFILE, "baseUrl": server.url, "flavour": flavour, **members, **settings}
        return record("DigiCertCertificateAuthority", told, {"apiKey": API_KEY})

    return made


def certcentral_record(server: DigiCertOneServer, **settings: Any) -> AuthorityRecord:
    organization = str(CertCentralServer.ORGANIZATION)
    members = {"profileName": CertCentralServer.PRODUCT, "organizationId": organization}
    return digicert_record("certcentral", **members)(server, **settings)


@functools.cache
def _client() -> tuple[Issuer, str, str]:
    """Who may speak to EJBCA: the CA of its administrators, and the certificate and key of one."""
    issuer, private = Issuer("Administrators", time.time()), new_key()
    begins = datetime.now(UTC) - timedelta(hours=1)
    certificate = issuer.leaf("accredit", private.public_key(), begins, begins + timedelta(days=2))
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return issuer, pem(certificate) + pem(issuer.intermediate), text


def ejbca_server(**facts: Any) -> DigiCertOneServer:
    issuer, _, _ = _client()
    context = server_context(client_anchors=pem(issuer.root))
    return EjbcaServer(tls=context, **facts)


def ejbca_record(server: DigiCertOneServer, **settings: Any) -> AuthorityRecord:
    _, certificate, key_pem = _client()
    members = {
        "url": server.url,
        "certificateProfile": "Device",
        "endEntityProfile": "Fleet",
        "certificateAuthority": EjbcaServer.CA,
        "clientCertificate": certificate,
        "trustAnchors": server.root_pem + tls_root().pem().decode(),
        **settings,
    }
    return record("Ejbca", members, {"clientKey": key_pem})


def cmp_record(server: CmpServer, **settings: Any) -> AuthorityRecord:
    members = {"url": f"{server.url}/pkix", "reference": REFERENCE, "recipient": "CN=Issuing CA", **settings}
    return record("Cmp", members, {"secret": SECRET})


@asynccontextmanager
async def cmp_server(*_: object) -> AsyncIterator[Vendor]:
    clock = HandClock()
    async with CmpServer(now=clock.now) as server:

        def refuse() -> str:
            server.options = ("-pkistatus", "2", "-failure", "15")
            return REFUSED

        async with connected(cmp_record(server), clock) as authority:
            yield Vendor(authority, clock, refuse)


FAKES = {
    "DigiCertMpki": Fake(MpkiServer, digicert_record("mpki")),
    "DigiCertCertCentral": Fake(CertCentralServer, certcentral_record),
    "Ejbca": Fake(ejbca_server, ejbca_record),
}

VENDORS: dict[str, Callable[..., AbstractAsyncContextManager[Any]]] = {
    "AwsPrivateCa": aws_private_ca,
    "Cmp": cmp_server,
    **{name: fake.at_hand for name, fake in FAKES.items()},
}
