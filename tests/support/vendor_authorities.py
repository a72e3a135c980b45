"""The authorities that are bought: AWS as moto plays it (signing for real), and fakes that follow the vendors' documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from accredit.app.authorities import connector
from accredit.authorities.upstream import Surroundings
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules
from accredit.policy.issuance import check_delivered
from support import moto_server
from support.hand_clock import HandClock
from support.signing_requests import key, order
from support.small_issuer import Issuer

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
    made: AuthorityRecord, clock: HandClock, *, deadline_s: float = 20.0, egress: Egress | None = None
) -> AsyncIterator[Any]:
    """The record's connector, which may go anywhere on this machine."""
    pool = egress or Egress(EgressRules(("127.0.0.0/8", "::1")))
    try:
        yield connector(made.type)(made, Surroundings(pool, clock, deadline_s=deadline_s))
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


VENDORS: dict[str, Callable[..., AbstractAsyncContextManager[Any]]] = {"AwsPrivateCa": aws_private_ca}
